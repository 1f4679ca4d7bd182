-- If there is none yet: who comes first makes it.
INSERT INTO cluster_secret (secret) VALUES ($1) ON CONFLICT DO NOTHING
