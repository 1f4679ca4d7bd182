-- The room, its head and its owner, or none of them: no row comes back if the slug is taken.
WITH room AS (
    INSERT INTO rooms (id, slug, name, topic, is_private, created_by, history)
    VALUES ($1, $2, $3, $4, $5, $6, $8)
    ON CONFLICT (slug) DO NOTHING
    RETURNING id, created_by, created_at
), head AS (
    INSERT INTO room_heads (room_id, epoch)
    SELECT id, $7 FROM room
), owner AS (
    INSERT INTO room_members (room_id, user_id, role, joined_seq)
    SELECT id, created_by, 'owner', 0 FROM room
)
SELECT created_at FROM room
