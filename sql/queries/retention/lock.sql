-- One node at a time removes; held until the transaction ends.
SELECT pg_try_advisory_xact_lock(7523413958210746883) AS is_mine
