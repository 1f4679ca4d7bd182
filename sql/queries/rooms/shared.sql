-- What everybody sees who may know of these rooms, in no order. The rest of the columns is of nobody.
SELECT r.id, r.slug, r.name, r.topic, r.is_private, r.history, r.created_by, r.created_at, r.version,
       h.epoch, h.last_seq, h.last_msg_no,
       NULL::text AS role, NULL::bigint AS read_msg_no, 0::bigint AS mentions
FROM rooms r
JOIN room_heads h ON h.room_id = r.id
WHERE r.id = ANY($1::uuid[])
