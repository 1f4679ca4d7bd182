-- One message. Nothing up to $3, the reader's history floor, is shown.
SELECT * FROM message_views WHERE id = $2 AND room_id = $1 AND seq > $3
