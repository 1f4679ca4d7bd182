-- By which nodes users are connected: users.online_status follows from it. A row counts for as long
-- as that life of its node.
CREATE TABLE online_users (
    user_id     uuid   NOT NULL REFERENCES users ON DELETE CASCADE,
    node_id     text   NOT NULL,
    incarnation bigint NOT NULL,
    PRIMARY KEY (user_id, node_id)
);
CREATE INDEX online_users_node ON online_users (node_id, incarnation);
