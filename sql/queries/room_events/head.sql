SELECT epoch, last_seq FROM room_heads WHERE room_id = $1
