-- Which cluster this is: a replica has its primary's number. Whether it follows another server.
SELECT system_identifier, current_database()::text AS database, pg_is_in_recovery() AS follows
FROM pg_control_system()
