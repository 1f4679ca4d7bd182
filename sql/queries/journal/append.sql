-- Appends a batch of messages (kind 1) and custom events to their rooms' logs.
--
-- Runs in the transaction that has locked the heads, as a statement of its own: its snapshot is
-- taken after the locks, so it sees every change that another writer made under them.
--
-- A row is judged in this order: published before (the original answer, whatever has become of
-- the sender since), key used for something else, no such room, head not locked by this
-- transaction, sender no member (who may not even know of a private room), muted, accepted. The
-- batch itself holds no key twice.
--
-- A reply is to a message that is no reply itself, still there, and not before what the sender may
-- see. `body_bytes` is what is said in bytes: `body` is empty then, and otherwise `body_bytes` is
-- null. `mentions` holds arrays as text, and null where nobody is named.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::smallint[], $6::bytea[], $7::text[], $8::bytea[],
        $9::uuid[], $10::text[], $11::bytea[]
    ) WITH ORDINALITY
        AS i (room_id, user_id, client_id, id, kind, fingerprint, body, data, thread_id, mentions, body_bytes, ord)
),
locked AS MATERIALIZED (
    SELECT unnest(string_to_array(current_setting('hubbub.locked'), ','))::uuid AS room_id
),
judged AS MATERIALIZED (
    SELECT
        i.*,
        h.epoch,
        h.last_seq,
        h.last_msg_no,
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
            WHEN i.thread_id IS NOT NULL THEN coalesce(
                (
                    SELECT CASE WHEN root.deleted_at IS NULL THEN 'accepted' ELSE 'message_deleted' END
                    FROM messages AS root
                    WHERE root.id = i.thread_id AND root.room_id = i.room_id
                        AND root.thread_id IS NULL AND root.seq > m.history_floor
                ),
                'message_not_found'
            )
            ELSE 'accepted'
        END AS verdict
    FROM input AS i
    LEFT JOIN locked AS l ON l.room_id = i.room_id
    LEFT JOIN room_heads AS h ON h.room_id = i.room_id
    LEFT JOIN room_members AS m ON m.room_id = i.room_id AND m.user_id = i.user_id
    LEFT JOIN publish_keys AS k
        ON k.room_id = i.room_id AND k.user_id = i.user_id AND k.client_id = i.client_id
),
accepted AS MATERIALIZED (
    SELECT
        ord, room_id, user_id, client_id, id, kind, fingerprint, body, body_bytes, data, thread_id, mentions,
        last_seq + row_number() OVER in_order AS seq,
        CASE WHEN kind = 1 THEN last_msg_no + count(*) FILTER (WHERE kind = 1) OVER in_order END AS msg_no,
        now.created_at
    FROM judged, (SELECT clock_timestamp() AS created_at) AS now
    WHERE verdict = 'accepted'
    WINDOW in_order AS (PARTITION BY room_id ORDER BY ord ROWS UNBOUNDED PRECEDING)
),
moved AS (
    UPDATE room_heads AS h
    SET last_seq = a.last_seq, last_msg_no = greatest(h.last_msg_no, a.last_msg_no)
    FROM (
        SELECT room_id, max(seq) AS last_seq, max(msg_no) AS last_msg_no
        FROM accepted
        GROUP BY room_id
    ) AS a
    WHERE h.room_id = a.room_id
),
logged AS (
    INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at, message_id)
    SELECT room_id, seq, kind, msg_no, id, user_id, data, created_at, thread_id
    FROM accepted
),
said AS (
    INSERT INTO messages (
        id, room_id, seq, msg_no, user_id, client_id, body, body_bytes, created_at, thread_id, mentions
    )
    SELECT
        id, room_id, seq, msg_no, user_id, client_id, body, body_bytes, created_at, thread_id,
        mentions::uuid[]
    FROM accepted
    WHERE kind = 1
),
kept AS (
    INSERT INTO publish_keys (room_id, user_id, client_id, fingerprint, seq, msg_no, id, created_at)
    SELECT room_id, user_id, client_id, fingerprint, seq, msg_no, id, created_at
    FROM accepted
    WHERE client_id IS NOT NULL
)
SELECT
    j.ord,
    j.verdict,
    j.epoch,
    coalesce(a.seq, j.known_seq) AS seq,
    coalesce(a.msg_no, j.known_msg_no) AS msg_no,
    coalesce(a.id, j.known_id) AS id,
    coalesce(a.created_at, j.known_created_at) AS created_at
FROM judged AS j
LEFT JOIN accepted AS a ON a.ord = j.ord
ORDER BY j.ord
