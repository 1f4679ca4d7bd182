SELECT id FROM rooms WHERE id = $1
