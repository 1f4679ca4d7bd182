UPDATE request_keys
SET status = $4, content_type = $5, body = $6
WHERE user_id = $1 AND key = $2 AND claim = $3
