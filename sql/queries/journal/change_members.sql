-- Changes one membership in each of several rooms, and logs it. Runs under the heads' locks, as
-- journal/append does: a message whose seq follows its sender's removal cannot exist.
--
-- What a room's roles may do is decided here and nowhere else, because only here is it known
-- what the roles are at the moment of the change.
WITH input AS (
    SELECT *
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bytea[])
        WITH ORDINALITY AS i (room_id, actor_id, member_id, change, role, id, data, ord)
),
ranks (role, rank) AS (
    VALUES ('member', 1), ('moderator', 2), ('owner', 3)
),
locked AS MATERIALIZED (
    SELECT unnest(string_to_array(current_setting('hubbub.locked'), ','))::uuid AS room_id
),
seen AS MATERIALIZED (
    SELECT
        i.*,
        h.epoch,
        h.last_seq,
        r.is_private,
        h.room_id IS NOT NULL AND r.id IS NOT NULL AS room_exists,
        l.room_id IS NOT NULL AS is_locked,
        u.id IS NOT NULL AS user_exists,
        (SELECT rank FROM ranks WHERE role = actor.role) AS actor_rank,
        (SELECT rank FROM ranks WHERE role = member.role) AS member_rank,
        (SELECT rank FROM ranks WHERE role = i.role) AS wanted_rank,
        member.role = 'owner'
            AND NOT EXISTS (
                SELECT FROM room_members AS o
                WHERE o.room_id = i.room_id AND o.role = 'owner' AND o.user_id <> i.member_id
            ) AS is_last_owner,
        EXISTS (
            SELECT FROM room_members AS o WHERE o.room_id = i.room_id AND o.user_id <> i.member_id
        ) AS has_others
    FROM input AS i
    LEFT JOIN locked AS l ON l.room_id = i.room_id
    LEFT JOIN room_heads AS h ON h.room_id = i.room_id
    LEFT JOIN rooms AS r ON r.id = i.room_id
    LEFT JOIN users AS u ON u.id = i.member_id AND u.is_active
    LEFT JOIN room_members AS actor ON actor.room_id = i.room_id AND actor.user_id = i.actor_id
    LEFT JOIN room_members AS member ON member.room_id = i.room_id AND member.user_id = i.member_id
),
judged AS MATERIALIZED (
    SELECT
        *,
        CASE
            WHEN NOT room_exists THEN 'room_not_found'
            WHEN is_private AND actor_rank IS NULL THEN 'room_not_found'
            WHEN NOT is_locked THEN 'locked'
            WHEN NOT user_exists AND change IN ('joined', 'added') THEN 'user_not_found'
            WHEN change = 'joined' THEN CASE WHEN member_rank IS NULL THEN 'accepted' ELSE 'unchanged' END
            WHEN change = 'left' THEN CASE
                WHEN member_rank IS NULL THEN 'unchanged'
                -- Who is alone may go: nobody is left who would want an owner.
                WHEN is_last_owner AND has_others THEN 'last_owner'
                ELSE 'accepted'
            END
            WHEN actor_rank IS NULL THEN 'not_a_member'
            WHEN change = 'added' THEN CASE
                WHEN actor_rank < 2 OR wanted_rank > actor_rank THEN 'forbidden'
                WHEN member_rank IS NOT NULL THEN 'unchanged'
                ELSE 'accepted'
            END
            WHEN change = 'removed' THEN CASE
                WHEN actor_rank < 2 OR member_rank >= actor_rank THEN 'forbidden'
                WHEN member_rank IS NULL THEN 'unchanged'
                ELSE 'accepted'
            END
            WHEN change = 'role' THEN CASE
                WHEN actor_rank < 3 THEN 'forbidden'
                WHEN member_rank IS NULL THEN 'user_not_found'
                WHEN member_rank = wanted_rank THEN 'unchanged'
                -- Even alone: nobody could ever make an owner again.
                WHEN is_last_owner THEN 'last_owner'
                ELSE 'accepted'
            END
            ELSE 'forbidden'
        END AS verdict
    FROM seen
),
accepted AS MATERIALIZED (
    SELECT judged.*, last_seq + 1 AS seq, now.created_at
    FROM judged, (SELECT clock_timestamp() AS created_at) AS now
    WHERE verdict = 'accepted'
),
came AS (
    INSERT INTO room_members (room_id, user_id, role, joined_seq, joined_at)
    SELECT room_id, member_id, role, seq, created_at
    FROM accepted
    WHERE change IN ('joined', 'added')
),
went AS (
    DELETE FROM room_members AS m
    USING accepted AS a
    WHERE a.change IN ('left', 'removed') AND m.room_id = a.room_id AND m.user_id = a.member_id
),
changed AS (
    UPDATE room_members AS m
    SET role = a.role
    FROM accepted AS a
    WHERE a.change = 'role' AND m.room_id = a.room_id AND m.user_id = a.member_id
),
moved AS (
    UPDATE room_heads AS h
    SET last_seq = a.seq
    FROM accepted AS a
    WHERE h.room_id = a.room_id
),
logged AS (
    INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at)
    SELECT room_id, seq, 3, NULL, id, actor_id, data, created_at
    FROM accepted
)
SELECT
    j.ord, j.verdict, j.epoch, a.seq, NULL::bigint AS msg_no, a.id, a.created_at
FROM judged AS j
LEFT JOIN accepted AS a ON a.ord = j.ord
ORDER BY j.ord
