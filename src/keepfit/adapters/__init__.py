"""One outside tool a file. Only `keepfit.project` names them."""
