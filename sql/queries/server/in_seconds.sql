-- A moment by the database's clock, and now.
SELECT clock_timestamp() AS now, clock_timestamp() + make_interval(secs => $1) AS later
