-- Notes what a batch's messages mean for others: that a message has replies, and who was named.
-- Follows journal/append in the same transaction, only if the batch has such messages. Those of
-- them that append has not accepted are not in `messages`, and so not found here.
--
-- $1 are messages that reply; $2 and $3 pairs of message and user. As in journal/change_messages,
-- nothing here can become a scan of a table that grows after the plan was made.
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
        AND root.id = ANY (ARRAY (SELECT thread_id FROM messages WHERE id = ANY ($1::uuid[])))
)
INSERT INTO mentions (room_id, user_id, msg_no, message_id)
SELECT said.room_id, named.user_id, said.msg_no, said.id
FROM unnest($2::uuid[], $3::uuid[]) AS named (message_id, user_id)
CROSS JOIN LATERAL (SELECT * FROM messages WHERE id = named.message_id OFFSET 0) AS said
CROSS JOIN LATERAL (
    SELECT FROM room_members WHERE room_id = said.room_id AND user_id = named.user_id OFFSET 0
) AS member
