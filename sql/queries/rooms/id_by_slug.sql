SELECT id FROM rooms WHERE slug = $1
