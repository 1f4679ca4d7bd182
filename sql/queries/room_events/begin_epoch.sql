-- The log has lost events that were told: its next ones get other numbers' meanings, so it is
-- another log from now on. Only if nobody has said so yet and it still ends before $3.
UPDATE room_heads SET epoch = $4
WHERE room_id = $1 AND epoch = $2 AND last_seq < $3
