"""What a person can ask for beside a run: one file a verb. The command line and `keepfit.Project` call them."""
