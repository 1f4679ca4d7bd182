-- Under the head's lock, as its use is: one of the two comes first, and the other sees it.
WITH head AS (
    SELECT room_id FROM room_heads WHERE room_id = $1 FOR UPDATE
)
UPDATE invitations AS v
SET revoked_at = clock_timestamp()
FROM head
WHERE v.id = $2 AND v.room_id = head.room_id AND v.used_at IS NULL AND v.revoked_at IS NULL
