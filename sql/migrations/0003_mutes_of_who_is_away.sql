-- A mute outlasts the membership: it waits here while the user is away, so that nobody gets rid of
-- one by leaving and joining again.
CREATE TABLE room_mutes (
    room_id uuid        NOT NULL REFERENCES rooms ON DELETE CASCADE,
    user_id uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    until   timestamptz NOT NULL,
    PRIMARY KEY (room_id, user_id)
);
