"""The history beside the database: Parquet files that need neither evq nor a server."""
