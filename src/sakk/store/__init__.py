"""PostgreSQL: the tables and the queries, one file per noun."""
