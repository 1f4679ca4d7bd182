-- The rooms with most of the last 2,000 messages: ids are in the order of time.
SELECT room_id
FROM (SELECT room_id FROM messages ORDER BY id DESC LIMIT 2000) AS latest
GROUP BY room_id
ORDER BY count(*) DESC, room_id
LIMIT $1
