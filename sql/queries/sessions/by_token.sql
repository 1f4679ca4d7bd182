-- touch_due: at most one write a minute for each session, on whatever nodes it is used.
-- control_position is of the same snapshot: an end of this session comes after it.
SELECT
    s.id,
    s.user_id,
    s.expires_at,
    s.last_seen_at,
    s.last_seen_at < now() - interval '1 minute' AS touch_due,
    clock_timestamp() AS now,
    (SELECT last_id FROM control_head) AS control_position
FROM sessions s
JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.expires_at > now() AND u.is_active
