//! Counting by one node alone.

use super::rules::SECOND_US;
use super::*;
use crate::protocol::id::UserId;

fn take_at(
    limits: &Limits,
    bucket: Bucket,
    subject: Subject,
    now_us: u64,
) -> Result<(), RateLimited> {
    let counted = limits.counted(bucket, subject, [192, 0, 2, 1].into());
    limits.decide(&counted.unwrap(), now_us)
}

const MINUTE_US: u64 = 60 * SECOND_US;

fn limits(exempt: &[&str]) -> Limits {
    Limits::new(&config::Limits {
        exempt: exempt.iter().map(|net| net.parse().unwrap()).collect(),
        message_bytes: 65536,
        reactions_per_message: 50,
        pins_per_room: 50,
        reads_per_min: 20,
        writes_per_min: 10,
        publishes_per_min: 10,
        logins_per_min: 3,
        connects_per_min: 10,
        block_s: 300,
        share_ms: 500,
        share_percent: 5,
        invitations_per_room: 1,
        request_keys_per_user: 1,
        exports_per_node: 1,
        keys_max: 1000,
    })
}

fn login(address: &str, login: &str) -> Subject {
    Subject::Login {
        address: address.parse().unwrap(),
        login: login.into(),
    }
}

fn address(text: &str) -> Subject {
    Subject::Address(text.parse().unwrap())
}

/// How many of `n` requests at once pass.
fn passing(limits: &Limits, bucket: Bucket, subject: &Subject, now_us: u64, n: usize) -> usize {
    (0..n)
        .filter(|_| take_at(limits, bucket, subject.clone(), now_us).is_ok())
        .count()
}

#[test]
fn buckets_and_subjects_count_apart() {
    let limits = limits(&[]);
    let (ann, ben) = (
        Subject::User(UserId::generate()),
        Subject::User(UserId::generate()),
    );
    assert_eq!(passing(&limits, Bucket::Writes, &ann, 0, 15), 10);
    assert_eq!(passing(&limits, Bucket::Reads, &ann, 0, 15), 15);
    assert_eq!(passing(&limits, Bucket::Writes, &ben, 0, 15), 10);
}

#[test]
fn persistence_is_blocked_and_patience_is_not() {
    let limits = limits(&[]);
    let subject = address("192.0.2.1");
    assert_eq!(passing(&limits, Bucket::Writes, &subject, 0, 20), 10);
    // One every six seconds drips; ten refusals a minute are borne.
    assert_eq!(
        passing(&limits, Bucket::Writes, &subject, 6 * SECOND_US, 1),
        1
    );
    // But not more.
    passing(&limits, Bucket::Writes, &subject, 7 * SECOND_US, 20);
    let refused = take_at(&limits, Bucket::Writes, subject.clone(), 2 * MINUTE_US).unwrap_err();
    assert!(refused.retry_after_s() > 100, "{refused}");
    assert_eq!(
        passing(&limits, Bucket::Writes, &subject, 6 * MINUTE_US, 20),
        10
    );
}

#[test]
fn guessing_one_name_leaves_the_others_of_the_address_alone() {
    let limits = limits(&[]);
    assert_eq!(
        passing(&limits, Bucket::Logins, &login("192.0.2.1", "ann"), 0, 1000),
        3
    );
    assert_eq!(
        passing(&limits, Bucket::Logins, &login("192.0.2.1", "ANN"), 0, 1000),
        0
    );
    assert_eq!(
        passing(&limits, Bucket::Logins, &login("192.0.2.1", "ben"), 0, 1),
        1
    );
    assert_eq!(
        passing(&limits, Bucket::Logins, &login("192.0.2.2", "ann"), 0, 1),
        1
    );
    assert_eq!(
        passing(&limits, Bucket::Logins, &address("192.0.2.1"), 0, 1000),
        30
    );
}

#[test]
fn one_network_of_ipv6_is_one_address() {
    let limits = limits(&[]);
    assert_eq!(
        passing(&limits, Bucket::Connects, &address("2001:db8::1"), 0, 20),
        10
    );
    assert_eq!(
        passing(&limits, Bucket::Connects, &address("2001:db8::2"), 0, 20),
        0
    );
    assert_eq!(
        passing(
            &limits,
            Bucket::Connects,
            &address("2001:db8:0:1::2"),
            0,
            20
        ),
        10
    );
    assert_eq!(
        passing(
            &limits,
            Bucket::Connects,
            &address("::ffff:192.0.2.1"),
            0,
            20
        ),
        10
    );
    assert_eq!(
        passing(&limits, Bucket::Connects, &address("192.0.2.1"), 0, 20),
        0
    );
}

#[test]
fn exempt_networks_pass_and_checks_count_nothing() {
    let limits = limits(&["127.0.0.0/8"]);
    let (inside, outside) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
    for _ in 0..100 {
        assert_eq!(
            limits.take_now(Bucket::Logins, Subject::Newcomer(inside), inside),
            Ok(())
        );
        assert_eq!(
            limits.check(Bucket::Reads, Subject::Address(outside), outside),
            Ok(())
        );
    }
    for _ in 0..40 {
        let _ = limits.take_now(Bucket::Reads, Subject::Address(outside), outside);
    }
    assert!(
        limits
            .check(Bucket::Reads, Subject::Address(outside), outside)
            .is_err()
    );
}
