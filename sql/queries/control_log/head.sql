SELECT last_id FROM control_head
