-- The time that all nodes go by, and the secret by which they know each other.
SELECT clock_timestamp() AS now, (SELECT secret FROM cluster_secret) AS secret
