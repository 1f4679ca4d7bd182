-- Of the rooms $1 those whose logs are not at the epochs $2 and the last events $3, and where they
-- are.
SELECT h.room_id, h.epoch, h.last_seq
FROM unnest($1::uuid[], $2::int4[], $3::int8[]) AS known (room_id, epoch, last_seq)
JOIN room_heads h ON h.room_id = known.room_id
WHERE h.epoch <> known.epoch OR h.last_seq <> known.last_seq
