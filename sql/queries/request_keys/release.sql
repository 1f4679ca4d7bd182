DELETE FROM request_keys
WHERE user_id = $1 AND key = $2 AND claim = $3 AND status IS NULL
