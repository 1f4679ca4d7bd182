-- Says where the log begins now. The head is locked by this last statement of the transaction
-- alone, so that publishes to the room wait for its commit and not for the removal.
UPDATE room_heads SET first_seq = $2 WHERE room_id = $1
