-- Edits (kind 4), deletes (5), reacts to (6) and pins (7) messages, and logs it. Runs under the
-- heads' locks, as journal/append does, and is the only place where it is decided who may do it.
--
-- The batch holds, of one message, either one change or reactions that differ in user or emoji.
-- `text` is what an edit says (empty if it says `bytes`) or what is reacted with, `is_wanted` whether a reaction or pin is to be
-- there. $11 is how many different emojis a message may have, $12 how many pins a room.
--
-- A row is judged in this order: done before (the original answer), key used for something else,
-- no such room, head not locked by this transaction, no member, muted, no such message (or none
-- that the member may see), deleted, not allowed, already so, too many.
--
-- Deleting takes the text out of everything in this one statement: the message, its reactions and
-- mentions, the log's rows of the message and of its edits.
--
-- The plan is made once, while the tables may be small. So that it never walks a table that has
-- grown since, what is changed is named by `ANY (ARRAY (…))`, and what is looked up is a scalar
-- subquery or a LATERAL one behind OFFSET 0: none of them can be turned around into a scan.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::smallint[], $6::bytea[], $7::uuid[], $8::text[],
        $9::boolean[], $10::bytea[], $13::bytea[]
    ) WITH ORDINALITY
        AS i (room_id, user_id, client_id, id, kind, fingerprint, message_id, text, is_wanted, data, bytes, ord)
),
locked AS MATERIALIZED (
    SELECT unnest(string_to_array(current_setting('hubbub.locked'), ','))::uuid AS room_id
),
judged AS MATERIALIZED (
    SELECT
        i.*,
        h.epoch,
        h.last_seq,
        t.seq AS message_seq,
        k.seq AS known_seq,
        k.msg_no AS known_msg_no,
        k.id AS known_id,
        k.created_at AS known_created_at,
        CASE
            WHEN k.fingerprint = i.fingerprint THEN 'duplicate'
            WHEN k.fingerprint IS NOT NULL THEN 'client_id_reused'
            WHEN h.room_id IS NULL THEN 'room_not_found'
            WHEN l.room_id IS NULL THEN 'locked'
            WHEN m.user_id IS NULL THEN CASE
                WHEN (SELECT r.is_private FROM rooms AS r WHERE r.id = i.room_id) THEN 'room_not_found'
                ELSE 'not_a_member'
            END
            WHEN m.muted_until > now() THEN 'muted'
            WHEN t.id IS NULL THEN 'message_not_found'
            WHEN t.deleted_at IS NOT NULL THEN CASE WHEN i.kind = 5 THEN 'unchanged' ELSE 'message_deleted' END
            WHEN i.kind = 4 THEN CASE
                WHEN t.user_id <> i.user_id THEN 'forbidden'
                WHEN (t.body, t.body_bytes) IS NOT DISTINCT FROM (i.text, i.bytes) THEN 'unchanged'
                ELSE 'accepted'
            END
            WHEN i.kind = 5 THEN CASE
                WHEN t.user_id = i.user_id OR m.role IN ('moderator', 'owner') THEN 'accepted'
                ELSE 'forbidden'
            END
            WHEN i.kind = 6 THEN CASE
                WHEN i.is_wanted = ((
                    SELECT true FROM reactions AS r
                    WHERE r.message_id = i.message_id AND r.emoji = i.text AND r.user_id = i.user_id
                ) IS NOT NULL) THEN 'unchanged'
                ELSE 'accepted'
            END
            WHEN i.kind = 7 THEN CASE
                WHEN m.role NOT IN ('moderator', 'owner') THEN 'forbidden'
                WHEN i.is_wanted = (t.pinned_at IS NOT NULL) THEN 'unchanged'
                ELSE 'accepted'
            END
            ELSE 'forbidden'
        END AS verdict
    FROM input AS i
    LEFT JOIN locked AS l ON l.room_id = i.room_id
    LEFT JOIN room_heads AS h ON h.room_id = i.room_id
    LEFT JOIN room_members AS m ON m.room_id = i.room_id AND m.user_id = i.user_id
    LEFT JOIN messages AS t
        ON t.id = i.message_id AND t.room_id = i.room_id AND t.seq > coalesce(m.history_floor, 0)
    LEFT JOIN publish_keys AS k
        ON k.room_id = i.room_id AND k.user_id = i.user_id AND k.client_id = i.client_id
),
-- What is new counts on top of what is there before the batch, each emoji once. What the same
-- batch takes away is not counted off.
counted AS MATERIALIZED (
    SELECT
        j.ord,
        CASE WHEN dense_rank() OVER (PARTITION BY j.message_id ORDER BY j.text) > $11::bigint - (
            -- Walks from emoji to emoji, however many members share one, and no further than it must.
            WITH RECURSIVE emojis (emoji, place) AS (
                (SELECT r.emoji, 1::bigint FROM reactions AS r
                WHERE r.message_id = j.message_id ORDER BY r.emoji LIMIT 1)
                UNION ALL
                SELECT
                    (SELECT r.emoji FROM reactions AS r
                    WHERE r.message_id = j.message_id AND r.emoji > e.emoji ORDER BY r.emoji LIMIT 1),
                    e.place + 1
                FROM emojis AS e
                WHERE e.emoji IS NOT NULL AND e.place < $11::bigint
            )
            SELECT count(emoji) FROM emojis
        ) THEN 'too_many_reactions' END AS refusal
    FROM judged AS j
    WHERE j.verdict = 'accepted' AND j.kind = 6 AND j.is_wanted
        AND (
            SELECT true FROM reactions AS r WHERE r.message_id = j.message_id AND r.emoji = j.text LIMIT 1
        ) IS NULL
    UNION ALL
    SELECT
        j.ord,
        CASE WHEN row_number() OVER (PARTITION BY j.room_id ORDER BY j.ord) > $12::bigint - (
            SELECT count(*) FROM messages AS p WHERE p.room_id = j.room_id AND p.pinned_at IS NOT NULL
        ) THEN 'too_many_pins' END
    FROM judged AS j
    WHERE j.verdict = 'accepted' AND j.kind = 7 AND j.is_wanted
),
decided AS MATERIALIZED (
    SELECT j.*, coalesce(c.refusal, j.verdict) AS decision
    FROM judged AS j
    LEFT JOIN counted AS c ON c.ord = j.ord
),
accepted AS MATERIALIZED (
    SELECT
        d.*,
        d.last_seq + row_number() OVER (PARTITION BY d.room_id ORDER BY d.ord) AS seq,
        now.created_at
    FROM decided AS d, (SELECT clock_timestamp() AS created_at) AS now
    WHERE d.decision = 'accepted'
),
moved AS (
    UPDATE room_heads AS h
    SET last_seq = a.last_seq
    FROM (SELECT room_id, max(seq) AS last_seq FROM accepted GROUP BY room_id) AS a
    WHERE h.room_id = a.room_id
),
logged AS (
    INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at, message_id)
    SELECT room_id, seq, kind, NULL, id, user_id, data, created_at, message_id
    FROM accepted
),
kept AS (
    INSERT INTO publish_keys (room_id, user_id, client_id, fingerprint, seq, msg_no, id, created_at)
    SELECT room_id, user_id, client_id, fingerprint, seq, NULL, id, created_at
    FROM accepted
    WHERE client_id IS NOT NULL
),
changed AS (
    UPDATE messages AS m
    SET
        changed_seq = a.seq,
        body = CASE a.kind WHEN 4 THEN a.text WHEN 5 THEN '' ELSE m.body END,
        body_bytes = CASE a.kind WHEN 4 THEN a.bytes WHEN 5 THEN NULL ELSE m.body_bytes END,
        -- The sender may have put anything into it; publish_keys knows it for retries.
        client_id = CASE a.kind WHEN 5 THEN '' ELSE m.client_id END,
        edited_at = CASE a.kind WHEN 4 THEN a.created_at ELSE m.edited_at END,
        deleted_at = CASE a.kind WHEN 5 THEN a.created_at END,
        mentions = CASE a.kind WHEN 5 THEN NULL ELSE m.mentions END,
        pinned_at = CASE
            WHEN a.kind = 5 OR (a.kind = 7 AND NOT a.is_wanted) THEN NULL
            WHEN a.kind = 7 THEN a.created_at
            ELSE m.pinned_at
        END,
        pinned_by = CASE
            WHEN a.kind = 5 OR (a.kind = 7 AND NOT a.is_wanted) THEN NULL
            WHEN a.kind = 7 THEN a.user_id
            ELSE m.pinned_by
        END
    FROM (SELECT DISTINCT ON (message_id) * FROM accepted ORDER BY message_id, seq DESC) AS a
    WHERE m.id = a.message_id AND m.id = ANY (ARRAY (SELECT message_id FROM accepted))
),
redacted AS (
    UPDATE room_events
    SET data = ''
    WHERE ctid = ANY (ARRAY (
        SELECT e.ctid
        FROM accepted AS a
        CROSS JOIN LATERAL (
            SELECT ctid FROM room_events WHERE room_id = a.room_id AND seq = a.message_seq OFFSET 0
        ) AS e
        WHERE a.kind = 5
    ))
),
edits_redacted AS (
    UPDATE room_events
    SET data = ''
    WHERE kind = 4 AND message_id = ANY (ARRAY (SELECT message_id FROM accepted WHERE kind = 5))
),
forgotten AS (
    DELETE FROM mentions
    WHERE message_id = ANY (ARRAY (SELECT message_id FROM accepted WHERE kind = 5))
),
reacted AS (
    INSERT INTO reactions (message_id, user_id, emoji, room_id, seq, created_at)
    SELECT message_id, user_id, text, room_id, seq, created_at
    FROM accepted
    WHERE kind = 6 AND is_wanted
),
taken_back AS (
    DELETE FROM reactions AS r
    USING accepted AS a
    WHERE a.kind = 6 AND NOT a.is_wanted
        AND r.message_id = a.message_id AND r.emoji = a.text AND r.user_id = a.user_id
        AND r.message_id = ANY (ARRAY (SELECT message_id FROM accepted WHERE kind = 6 AND NOT is_wanted))
),
swept AS (
    DELETE FROM reactions
    WHERE message_id = ANY (ARRAY (SELECT message_id FROM accepted WHERE kind = 5))
)
SELECT
    d.ord,
    d.decision AS verdict,
    d.epoch,
    coalesce(a.seq, d.known_seq) AS seq,
    d.known_msg_no AS msg_no,
    coalesce(a.id, d.known_id) AS id,
    coalesce(a.created_at, d.known_created_at) AS created_at
FROM decided AS d
LEFT JOIN accepted AS a ON a.ord = d.ord
ORDER BY d.ord
