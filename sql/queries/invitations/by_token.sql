SELECT id, room_id, role FROM invitations WHERE token_hash = $1
