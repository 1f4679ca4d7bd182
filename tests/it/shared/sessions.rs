//! Sessions in Redis.

use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;

use super::{Scene, found, keys, logout, shared_user, status};
use crate::harness::eventually;
use crate::harness::redis::{Redis, RedisOptions};
use crate::harness::rest::{User, register};

async fn run(connection: &mut MultiplexedConnection, verb: &str, arguments: &[&[u8]]) -> Value {
    let mut command = redis::cmd(verb);
    for argument in arguments {
        command.arg(*argument);
    }
    let answer = connection.send_packed_command(&command).await;
    answer.and_then(Value::extract_error).expect("an answer")
}

/// Lets the second node know how far the control log goes: then it believes what the first finds.
pub(super) async fn settle(scene: &Scene, connection: &mut MultiplexedConnection) {
    let mut number = 0;
    eventually("a session is found in Redis", async || {
        number += 1;
        let name = format!("settling{number}");
        let (user, _) = shared_user(&scene.here, &name, connection).await;
        assert_eq!(status(&scene.there, &user).await, 200);
        (found(&scene.there, "hit").await > 0).then_some(())
    })
    .await;
}

async fn scene(redis: &Redis) -> (Scene, MultiplexedConnection) {
    let scene = Scene::new(&redis.url(), &[]).await;
    let mut connection = redis.connect().await;
    settle(&scene, &mut connection).await;
    (scene, connection)
}

/// Waits until a node has read the control log to its end.
pub(super) async fn told(scene: &Scene) {
    let sql = scene.database.connect().await;
    let head = sql.query_one("SELECT last_id FROM control_head", &[]).await;
    let head: i64 = head.expect("the head").get(0);
    for node in [&scene.here, &scene.there] {
        eventually("the end has been told", async || {
            let position = node.metric("hub_control_position").await;
            (position >= u64::try_from(head).ok()?).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_that_another_node_has_found_costs_no_query() {
    let redis = Redis::start().await;
    let (scene, mut connection) = scene(&redis).await;
    let (ada, _) = shared_user(&scene.here, "ada", &mut connection).await;
    let sql = scene.database.connect().await;
    let hits = found(&scene.there, "hit").await;
    // Nobody can read it, and nobody needs to.
    sql.batch_execute("BEGIN; LOCK TABLE sessions")
        .await
        .expect("the lock");
    assert_eq!(status(&scene.there, &ada).await, 200);
    sql.batch_execute("ROLLBACK").await.expect("the end");
    assert_eq!(found(&scene.there, "hit").await, hits + 1);
}

#[tokio::test]
async fn a_use_is_written_down_also_where_redis_knows_the_session() {
    let redis = Redis::start().await;
    // Nothing is remembered for long, so that Redis is asked.
    let scene = Scene::new(&redis.url(), &[("HUBBUB__AUTH__SESSION_CACHE_S", "1")]).await;
    let mut connection = redis.connect().await;
    let ada = register(&scene.here, "ada").await;
    let sql = scene.database.connect().await;
    // Used an hour ago, and just not long enough ago for the first to write it down.
    let set = async |column: &str, ago: &str| {
        let query = format!(
            "UPDATE sessions SET {column} = now() {ago} WHERE user_id = '{}'",
            ada.id
        );
        sql.batch_execute(&query).await.expect("it is moved");
    };
    set("last_seen_at", "- interval '55 seconds'").await;
    set("expires_at", "+ interval '1 hour'").await;
    let before = keys(&mut connection, "session").await.len();
    assert_eq!(status(&scene.here, &ada).await, 200);
    eventually("it is in Redis", async || {
        (keys(&mut connection, "session").await.len() > before).then_some(())
    })
    .await;
    // Its end in Postgres is an hour away; in use, it is moved to a day.
    eventually("the use is written down", async || {
        assert_eq!(status(&scene.there, &ada).await, 200);
        let query = "SELECT expires_at > now() + interval '23 hours' FROM sessions \
                     WHERE user_id = $1::text::uuid";
        let row = sql.query_one(query, &[&ada.id]).await.expect("a session");
        row.get::<_, bool>(0).then_some(())
    })
    .await;
}

/// An end on one node is one on all, whatever Redis says, and also when the old value comes back.
#[tokio::test]
async fn an_ended_session_never_comes_back() {
    let redis = Redis::start().await;
    let (scene, mut connection) = scene(&redis).await;
    let (ada, key) = shared_user(&scene.here, "ada", &mut connection).await;
    let old = run(&mut connection, "GET", &[key.as_bytes()]).await;
    let Value::BulkString(old) = old else {
        panic!("{old:?}")
    };
    logout(&scene.here, &ada).await;
    told(&scene).await;
    assert_eq!(status(&scene.there, &ada).await, 401);
    eventually("it is deleted", async || {
        let keys = keys(&mut connection, "session").await;
        (!keys.contains(&key)).then_some(())
    })
    .await;
    run(&mut connection, "SET", &[key.as_bytes(), &old]).await;
    for node in [&scene.here, &scene.there] {
        assert_eq!(status(node, &ada).await, 401);
    }
    assert!(found(&scene.there, "ended").await + found(&scene.here, "ended").await > 0);
}

#[tokio::test]
async fn it_ends_also_while_redis_is_frozen() {
    let redis = Redis::start().await;
    let settings = [("HUBBUB__REDIS__CALL_TIMEOUT_MS", "200")];
    let scene = Scene::new(&redis.url(), &settings).await;
    let mut connection = redis.connect().await;
    let (ada, key) = shared_user(&scene.here, "ada", &mut connection).await;
    let bob = register(&scene.here, "bob").await;
    let old = run(&mut connection, "GET", &[key.as_bytes()]).await;
    let Value::BulkString(old) = old else {
        panic!("{old:?}")
    };
    redis.freeze();
    logout(&scene.here, &ada).await;
    told(&scene).await;
    for node in [&scene.here, &scene.there] {
        assert_eq!(status(node, &ada).await, 401);
        // And nobody is locked out.
        assert_eq!(status(node, &bob).await, 200);
    }
    redis.thaw();
    run(&mut connection, "SET", &[key.as_bytes(), &old]).await;
    for node in [&scene.here, &scene.there] {
        assert_eq!(status(node, &ada).await, 401);
        super::is_asked(node).await;
        assert_eq!(status(node, &ada).await, 401);
    }
}

/// The user that a token is of: everybody has sessions of their own.
async fn sessions(user: &User, scene: &Scene) -> String {
    let answer = user.at(&scene.there).get("/api/auth/sessions").await;
    answer.ok()["sessions"][0]["id"].to_string()
}

#[tokio::test]
async fn whatever_is_found_under_a_sessions_key_lets_nobody_in_and_keeps_nobody_out() {
    let redis = Redis::start().await;
    // Nothing is remembered for long, so that Redis is asked.
    let scene = Scene::new(&redis.url(), &[("HUBBUB__AUTH__SESSION_CACHE_S", "1")]).await;
    let mut connection = redis.connect().await;
    settle(&scene, &mut connection).await;
    let (ada, ada_key) = shared_user(&scene.here, "ada", &mut connection).await;
    let (eve, eve_key) = shared_user(&scene.here, "eve", &mut connection).await;
    let (ada_sessions, eve_sessions) = (sessions(&ada, &scene).await, sessions(&eve, &scene).await);
    assert_ne!(ada_sessions, eve_sessions);
    let of_ada = run(&mut connection, "GET", &[ada_key.as_bytes()]).await;
    let Value::BulkString(of_ada) = of_ada else {
        panic!("{of_ada:?}")
    };
    let key = eve_key.as_bytes();
    let large = vec![b'x'; 1 << 20];
    let plants: [(&str, Vec<&[u8]>); 6] = [
        ("SET", vec![key, b""]),
        ("SET", vec![key, b"garbage"]),
        // Another's, word for word.
        ("SET", vec![key, &of_ada]),
        ("SET", vec![key, &large]),
        ("LPUSH", vec![key, b"a list"]),
        ("HSET", vec![key, b"a", b"hash"]),
    ];
    run(&mut connection, "DEL", &[key]).await;
    for (verb, arguments) in plants {
        let result = if arguments[1].is_empty() {
            "miss"
        } else {
            "bad"
        };
        let before = found(&scene.there, result).await;
        eventually("the node looks in Redis", async || {
            // Refused where a node has put its own there in between: then once more.
            let mut plant = redis::cmd(verb);
            for argument in &arguments {
                plant.arg(*argument);
            }
            let _ = connection.send_packed_command(&plant).await;
            assert_eq!(sessions(&eve, &scene).await, eve_sessions, "{verb}");
            let is_seen = found(&scene.there, result).await > before;
            run(&mut connection, "DEL", &[key]).await;
            is_seen.then_some(())
        })
        .await;
    }
    run(&mut connection, "FLUSHALL", &[]).await;
    assert_eq!(sessions(&eve, &scene).await, eve_sessions);
    assert_eq!(sessions(&ada, &scene).await, ada_sessions);
    let nobody = User::nobody(&scene.there);
    assert_eq!(nobody.get("/api/auth/sessions").await.status, 401);
}

#[tokio::test]
async fn a_redis_that_is_full_and_forgets_does_no_harm() {
    for policy in ["allkeys-lru", "noeviction"] {
        let options = RedisOptions::new()
            .set("maxmemory", "2mb")
            .set("maxmemory-policy", policy);
        let redis = Redis::start_with(options).await;
        let scene = Scene::new(&redis.url(), &[]).await;
        let mut connection = redis.connect().await;
        for number in 0..400 {
            let mut command = redis::cmd("SET");
            command
                .arg(format!("other:{number}"))
                .arg(vec![b'x'; 16 << 10]);
            // With noeviction it is refused in the end.
            let _ = connection.send_packed_command(&command).await;
        }
        let mut users = Vec::new();
        for number in 0..10 {
            users.push(register(&scene.here, &format!("user{number}")).await);
        }
        for user in &users {
            for node in [&scene.here, &scene.there] {
                assert_eq!(status(node, user).await, 200, "{policy}");
            }
        }
        logout(&scene.here, &users[0]).await;
        told(&scene).await;
        assert_eq!(status(&scene.there, &users[0]).await, 401, "{policy}");
    }
}

#[tokio::test]
async fn a_redis_that_is_gone_and_comes_back_is_asked_again() {
    let mut redis = Redis::start().await;
    let scene = Scene::new(&redis.url(), &[]).await;
    let ada = register(&scene.here, "ada").await;
    redis.kill9();
    for node in [&scene.here, &scene.there] {
        eventually("its breaker is open", async || {
            (node.metric("redis_breaker_open").await == 1).then_some(())
        })
        .await;
        assert_eq!(status(node, &ada).await, 200);
    }
    redis.restart().await;
    for node in [&scene.here, &scene.there] {
        super::is_asked(node).await;
        assert_eq!(node.metric("redis_breaker_open").await, 0);
        assert_eq!(status(node, &ada).await, 200);
    }
    tokio::time::timeout(Duration::from_secs(60), logout(&scene.there, &ada))
        .await
        .expect("in time");
    told(&scene).await;
    assert_eq!(status(&scene.here, &ada).await, 401);
}
