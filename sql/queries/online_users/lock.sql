-- Whoever changes by which nodes users are connected has their rows first, always in this order.
SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
