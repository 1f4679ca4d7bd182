-- Changes one membership in each of several rooms, and logs it. Runs under the heads' locks, as
-- journal/append does: a message whose seq follows its sender's removal cannot exist, and an
-- invitation brings in one person however many use it at once.
--
-- What a room's roles may do is decided here and nowhere else, because only here is it known
-- what the roles are at the moment of the change. Owners act on everybody but themselves,
-- moderators on plain members.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bytea[],
        $8::bytea[], $9::timestamptz[], $10::text[], $11::uuid[]
    ) WITH ORDINALITY
        AS i (
            room_id, actor_id, member_id, change, role, id, data,
            owner_data, until, reason, invitation_id, ord
        )
),
ranks (role, rank) AS (
    VALUES ('member', 1), ('moderator', 2), ('owner', 3)
),
locked AS MATERIALIZED (
    SELECT unnest(string_to_array(current_setting('hubbub.locked'), ','))::uuid AS room_id
),
now AS MATERIALIZED (
    SELECT clock_timestamp() AS at
),
seen AS MATERIALIZED (
    SELECT
        i.*,
        now.at,
        h.epoch,
        h.last_seq,
        h.last_msg_no,
        r.is_private,
        r.history,
        h.room_id IS NOT NULL AND r.id IS NOT NULL AS room_exists,
        l.room_id IS NOT NULL AS is_locked,
        u.id IS NOT NULL AS user_exists,
        u.is_active AS user_is_active,
        (SELECT rank FROM ranks WHERE role = actor.role) AS actor_rank,
        (SELECT rank FROM ranks WHERE role = member.role) AS member_rank,
        (SELECT rank FROM ranks WHERE role = i.role) AS wanted_rank,
        coalesce(member.muted_until > now.at, false) AS is_muted,
        member.muted_until,
        b.user_id IS NOT NULL AS is_banned,
        b.until AS banned_until,
        NOT EXISTS (
            SELECT FROM room_members AS o WHERE o.room_id = i.room_id AND o.role = 'owner'
        ) AS is_ownerless,
        member.role = 'owner'
            AND NOT EXISTS (
                SELECT FROM room_members AS o
                WHERE o.room_id = i.room_id AND o.role = 'owner' AND o.user_id <> i.member_id
            ) AS is_last_owner,
        NOT EXISTS (
            SELECT FROM room_members AS o WHERE o.room_id = i.room_id AND o.user_id <> i.member_id
        ) AS is_alone,
        -- An invitation is good for as long as its maker could make it now.
        CASE
            WHEN i.invitation_id IS NULL THEN NULL
            WHEN v.id IS NULL OR v.revoked_at IS NOT NULL OR v.role <> i.role THEN 'invitation_not_found'
            WHEN v.used_at IS NOT NULL THEN 'invitation_used'
            WHEN v.expires_at <= now.at THEN 'invitation_expired'
            WHEN coalesce((SELECT rank FROM ranks WHERE role = maker.role), 0)
                < greatest(2, (SELECT rank FROM ranks WHERE role = v.role)) THEN 'invitation_not_found'
        END AS invitation_fault
    FROM input AS i
    CROSS JOIN now
    LEFT JOIN locked AS l ON l.room_id = i.room_id
    LEFT JOIN room_heads AS h ON h.room_id = i.room_id
    LEFT JOIN rooms AS r ON r.id = i.room_id
    LEFT JOIN users AS u ON u.id = i.member_id
    LEFT JOIN room_members AS actor ON actor.room_id = i.room_id AND actor.user_id = i.actor_id
    LEFT JOIN room_members AS member ON member.room_id = i.room_id AND member.user_id = i.member_id
    LEFT JOIN room_bans AS b
        ON b.room_id = i.room_id AND b.user_id = i.member_id AND (b.until IS NULL OR b.until > now.at)
    LEFT JOIN invitations AS v ON v.id = i.invitation_id AND v.room_id = i.room_id
    LEFT JOIN room_members AS maker ON maker.room_id = v.room_id AND maker.user_id = v.created_by
),
judged AS MATERIALIZED (
    SELECT
        *,
        CASE
            WHEN NOT room_exists THEN 'room_not_found'
            WHEN is_private AND actor_rank IS NULL AND invitation_id IS NULL THEN 'room_not_found'
            WHEN NOT is_locked THEN 'locked'
            WHEN change IN ('joined', 'added') AND user_is_active IS NOT TRUE THEN 'user_not_found'
            WHEN change = 'joined' THEN CASE
                WHEN member_rank IS NOT NULL THEN 'unchanged'
                WHEN invitation_fault = 'invitation_not_found' THEN invitation_fault
                WHEN is_banned THEN 'banned'
                WHEN invitation_fault IS NOT NULL THEN invitation_fault
                ELSE 'accepted'
            END
            WHEN change = 'left' THEN CASE
                WHEN member_rank IS NULL THEN 'unchanged'
                WHEN is_last_owner AND NOT is_alone THEN 'last_owner'
                ELSE 'accepted'
            END
            WHEN actor_rank IS NULL THEN 'not_a_member'
            WHEN actor_rank < 2 THEN 'forbidden'
            WHEN change = 'added' THEN CASE
                WHEN wanted_rank > actor_rank THEN 'forbidden'
                WHEN member_rank IS NOT NULL THEN 'unchanged'
                WHEN is_banned THEN 'banned'
                ELSE 'accepted'
            END
            WHEN change = 'role' THEN CASE
                WHEN actor_rank < 3 THEN 'forbidden'
                WHEN member_rank IS NULL THEN 'user_not_found'
                WHEN member_rank = wanted_rank THEN 'unchanged'
                WHEN is_last_owner THEN 'last_owner'
                ELSE 'accepted'
            END
            WHEN change = 'unbanned' THEN CASE WHEN is_banned THEN 'accepted' ELSE 'unchanged' END
            -- The rest is done to somebody.
            WHEN actor_id = member_id THEN 'forbidden'
            WHEN actor_rank < 3 AND member_rank >= actor_rank THEN 'forbidden'
            WHEN change = 'removed' THEN CASE WHEN member_rank IS NULL THEN 'unchanged' ELSE 'accepted' END
            WHEN change = 'banned' THEN CASE
                WHEN NOT user_exists THEN 'user_not_found'
                WHEN member_rank IS NULL AND is_banned AND banned_until IS NOT DISTINCT FROM until THEN 'unchanged'
                ELSE 'accepted'
            END
            WHEN change = 'muted' THEN CASE
                WHEN member_rank IS NULL THEN 'user_not_found'
                WHEN is_muted AND muted_until = coalesce(until, timestamptz '9999-12-31 23:59:59Z') THEN 'unchanged'
                ELSE 'accepted'
            END
            WHEN change = 'unmuted' THEN CASE
                WHEN member_rank IS NULL THEN 'user_not_found'
                WHEN is_muted THEN 'accepted'
                ELSE 'unchanged'
            END
            ELSE 'forbidden'
        END AS verdict
    FROM seen
),
accepted AS MATERIALIZED (
    SELECT
        ord, room_id, actor_id, member_id, change, id, until, reason, invitation_id, at,
        last_seq + 1 AS seq,
        last_msg_no,
        CASE history WHEN 'joined' THEN last_seq ELSE 0 END AS history_floor,
        -- A room that nobody owns belongs to the next who joins it.
        CASE WHEN change = 'joined' AND is_ownerless THEN 'owner' ELSE role END AS role,
        CASE WHEN change = 'joined' AND is_ownerless THEN owner_data ELSE data END AS data
    FROM judged
    WHERE verdict = 'accepted'
),
came AS (
    INSERT INTO room_members (
        room_id, user_id, role, joined_seq, joined_at, read_msg_no, history_floor, muted_until
    )
    SELECT
        room_id, member_id, role, seq, at, last_msg_no, history_floor,
        (SELECT q.until FROM room_mutes AS q WHERE q.room_id = a.room_id AND q.user_id = a.member_id)
    FROM accepted AS a
    WHERE change IN ('joined', 'added')
),
went AS (
    DELETE FROM room_members AS m
    USING accepted AS a
    WHERE a.change IN ('left', 'removed', 'banned') AND m.room_id = a.room_id AND m.user_id = a.member_id
    RETURNING m.room_id, m.user_id, m.muted_until, a.at
),
-- A mute waits for who has gone, and goes back to who comes.
silenced AS (
    INSERT INTO room_mutes (room_id, user_id, until)
    SELECT room_id, user_id, muted_until
    FROM went
    WHERE muted_until > at
    ON CONFLICT (room_id, user_id) DO UPDATE SET until = excluded.until
),
unsilenced AS (
    DELETE FROM room_mutes AS q
    USING accepted AS a
    WHERE a.change IN ('joined', 'added') AND q.room_id = a.room_id AND q.user_id = a.member_id
),
changed AS (
    UPDATE room_members AS m
    SET
        role = CASE a.change WHEN 'role' THEN a.role ELSE m.role END,
        muted_until = CASE a.change
            WHEN 'muted' THEN coalesce(a.until, timestamptz '9999-12-31 23:59:59Z')
            WHEN 'unmuted' THEN NULL
            ELSE m.muted_until
        END
    FROM accepted AS a
    WHERE a.change IN ('role', 'muted', 'unmuted') AND m.room_id = a.room_id AND m.user_id = a.member_id
),
shut_out AS (
    INSERT INTO room_bans (room_id, user_id, banned_by, reason, until, created_at)
    SELECT room_id, member_id, actor_id, coalesce(reason, ''), until, at
    FROM accepted
    WHERE change = 'banned'
    ON CONFLICT (room_id, user_id) DO UPDATE
    SET banned_by = excluded.banned_by, reason = excluded.reason,
        until = excluded.until, created_at = excluded.created_at
),
-- Who comes has no ban left but one that is over.
let_in AS (
    DELETE FROM room_bans AS b
    USING accepted AS a
    WHERE a.change IN ('unbanned', 'joined', 'added') AND b.room_id = a.room_id AND b.user_id = a.member_id
),
spent AS (
    UPDATE invitations AS v
    SET used_by = a.member_id, used_at = a.at
    FROM accepted AS a
    WHERE v.id = a.invitation_id
),
moved AS (
    UPDATE room_heads AS h
    SET last_seq = a.seq
    FROM accepted AS a
    WHERE h.room_id = a.room_id
),
logged AS (
    INSERT INTO room_events (room_id, seq, kind, msg_no, id, user_id, data, created_at)
    SELECT room_id, seq, 3, NULL, id, actor_id, data, at
    FROM accepted
),
-- The control log is numbered under the lock of its head, which is taken last and held until the
-- commit: ids become visible in their order.
told AS (
    SELECT
        row_number() OVER (ORDER BY ord) AS place,
        CASE
            WHEN change IN ('joined', 'added') THEN 'membership_began'
            WHEN change IN ('left', 'removed', 'banned') THEN 'membership_ended'
            ELSE 'membership_changed'
        END AS kind,
        uuid_send(room_id) || uuid_send(member_id) || int8send(seq) AS data
    FROM accepted
),
numbered AS (
    UPDATE control_head
    SET last_id = last_id + (SELECT count(*) FROM told)
    WHERE EXISTS (SELECT FROM told)
    RETURNING last_id
),
entered AS (
    INSERT INTO control_log (id, kind, data)
    SELECT n.last_id - (SELECT count(*) FROM told) + t.place, t.kind, t.data
    FROM told AS t, numbered AS n
)
SELECT
    j.ord, j.verdict, j.epoch, a.seq, NULL::bigint AS msg_no, a.id, a.at AS created_at, a.role,
    notified.count AS notified
FROM judged AS j
CROSS JOIN (
    SELECT count(pg_notify('hubbub_control', last_id::text)) FROM numbered
) AS notified
LEFT JOIN accepted AS a ON a.ord = j.ord
ORDER BY j.ord
