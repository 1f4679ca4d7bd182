-- Notes what a batch's messages mean for others: that a message has replies, and who was named.
-- Follows journal/append in the same transaction, only if the batch has such messages. Those of
-- them that append has not accepted are not in `messages`, and so not found here.
--
-- $1 are messages that reply; $2 and $3 pairs of message and user.
WITH replied AS (
    UPDATE messages AS root
    SET replies = root.replies + new.replies, changed_seq = new.last_seq
    FROM (
        SELECT thread_id, count(*) AS replies, max(seq) AS last_seq
        FROM messages
        WHERE id = ANY ($1::uuid[])
        GROUP BY thread_id
    ) AS new
    WHERE root.id = new.thread_id
)
INSERT INTO mentions (room_id, user_id, msg_no, message_id)
SELECT said.room_id, named.user_id, said.msg_no, said.id
FROM unnest($2::uuid[], $3::uuid[]) AS named (message_id, user_id)
JOIN messages AS said ON said.id = named.message_id
JOIN room_members AS member ON member.room_id = said.room_id AND member.user_id = named.user_id
