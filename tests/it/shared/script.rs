//! The script that counts in Redis does what the pure model does.

use hubbub::auth::limits::gcra::{Cell, Quota};
use hubbub::auth::limits::script::{Answer, Question, TEXT};
use hubbub::auth::limits::tally::{Rule, Tally, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use redis::Value;
use redis::aio::MultiplexedConnection;

use crate::harness::redis::Redis;

/// The line by which the script reads Redis's clock.
const CLOCK: &str = "redis.call('TIME')";

/// How it says how long a counter is kept.
const TTL: &str = "math.ceil(ahead / 1000)";

/// What the script should answer, on what is there.
fn model(tally: &mut Tally, question: &Question, now_us: u64) -> Answer {
    let rule = &question.rule;
    let before = *tally;
    tally.heal(rule, now_us);
    let was_bad = *tally != before;
    let mut heard = question.heard;
    heard.heal(rule, now_us);
    tally.merge(&heard);
    tally.charge(rule, now_us, question.admitted, question.refused);
    let passes = question.wants && tally.take(rule, now_us) == Verdict::Admitted;
    Answer {
        now_us,
        tally: *tally,
        passes,
        was_bad,
    }
}

async fn run(
    connection: &mut MultiplexedConnection,
    text: &str,
    key: &str,
    arguments: &[i64],
) -> Answer {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(1).arg(key).arg(arguments);
    let answer = connection.send_packed_command(&command).await;
    let answer = answer.and_then(Value::extract_error).expect("an answer");
    Answer::read(&answer).unwrap_or_else(|| panic!("{answer:?}"))
}

fn question(random: &mut StdRng, rule: Rule, now_us: u64, last: Tally) -> Question {
    let near = |random: &mut StdRng, ahead_us: u64| {
        (now_us + random.random_range(0..=ahead_us)).saturating_sub(ahead_us / 4)
    };
    let burst_us = rule.quota.burst_us();
    let heard = match random.random_range(0..4) {
        0 | 1 => Tally::default(),
        2 => last,
        _ => Tally {
            requests: Cell::at(near(random, 3 * burst_us)),
            refusals: Cell::at(near(random, 2 * burst_us)),
            blocked_until_us: near(random, 2 * rule.block_us),
        },
    };
    Question {
        rule,
        heard,
        admitted: u64::from(random.random_range(0..=rule.quota.limit() / 2 + 1)),
        refused: match random.random_range(0..3) {
            0 => u64::from(random.random_range(0..=rule.quota.limit() + 1)),
            _ => 0,
        },
        wants: random.random_bool(0.5),
    }
}

#[tokio::test]
async fn the_script_is_the_model_on_random_schedules() {
    assert_eq!(TEXT.matches(CLOCK).count(), 1);
    assert_eq!(TEXT.matches(TTL).count(), 1);
    // The schedule's clock in place of Redis's, by which keys would go too soon.
    let text = TEXT.replace(CLOCK, "{ ARGV[10], ARGV[11] }");
    let text = text.replace(TTL, "600000");
    let redis = Redis::start().await;
    let mut connection = redis.connect().await;
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    for schedule in 0..60 {
        let limit = *[1, 3, 10, 100, 600, 100_000, 100_000_000]
            .get(random.random_range(0..7))
            .expect("one");
        let rule = Rule {
            quota: Quota::per_minute(limit),
            block_us: random.random_range(1..400) * 1_000_000,
        };
        let key = format!("schedule:{schedule}");
        let mut now_us = 1_900_000_000_000_000 + random.random_range(0..1_000_000_000u64);
        let mut tally = Tally::default();
        for step in 0..40 {
            now_us += match random.random_range(0..4) {
                0 => 0,
                1 => random.random_range(0..1_000_000),
                2 => random.random_range(0..20_000_000),
                _ => random.random_range(0..200_000_000),
            };
            let question = question(&mut random, rule, now_us, tally);
            let mut arguments = question.arguments().to_vec();
            arguments.extend(
                [now_us / 1_000_000, now_us % 1_000_000]
                    .map(|it| i64::try_from(it).expect("not so large")),
            );
            let expected = model(&mut tally, &question, now_us);
            let answer = run(&mut connection, &text, &key, &arguments).await;
            assert_eq!(
                answer, expected,
                "seed {seed}, schedule {schedule}, step {step}: {question:?}"
            );
            // What is over goes by itself; the model keeps it, which makes no difference.
            if tally.wait_us(&rule, now_us) == 0
                && [tally.requests, tally.refusals]
                    .iter()
                    .all(|cell| cell.tat_us() <= now_us)
                && tally.blocked_until_us <= now_us
            {
                tally = Tally::default();
            }
        }
    }
}

#[tokio::test]
async fn on_its_own_clock_it_counts_and_forgets() {
    let redis = Redis::start().await;
    let mut connection = redis.connect().await;
    let question = Question {
        rule: Rule {
            quota: Quota::per_minute(5),
            block_us: 300_000_000,
        },
        heard: Tally::default(),
        admitted: 0,
        refused: 0,
        wants: true,
    };
    let mut passed = 0;
    for _ in 0..7 {
        let answer = run(&mut connection, TEXT, "key", &question.arguments()).await;
        passed += u32::from(answer.passes);
    }
    assert!((5..=6).contains(&passed), "{passed}");
    let left = redis.run("PTTL key").await.expect("a time");
    let left: i64 = redis::from_redis_value(left).expect("milliseconds");
    assert!((1..=120_000).contains(&left), "{left}");
}
