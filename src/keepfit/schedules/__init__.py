"""Who runs the loop by itself: keepfit's own scheduler, Prefect, Airflow, cron and GitHub Actions, all by the same stages."""
