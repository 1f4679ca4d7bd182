//! One key's counter on this node: what it admits by itself, and what it has yet to tell the others.
//! Pure.
//!
//! It counts on the node's clock. What it has admitted and refused is told in numbers, and answered by
//! what all nodes have counted together; of both whichever is more holds. So it never allows more
//! than it would alone, and goes on as it was when there is nobody to tell.

use super::script::{Answer, Question};
use super::tally::{Rule, Tally, Verdict};

/// A counter.
#[derive(Debug, Default)]
pub(super) struct Counter {
    tally: Tally,
    /// What all have counted, as it was heard last, on Redis's clock.
    heard: Tally,
    /// Not told yet.
    admitted: u64,
    refused: u64,
    /// In a list of those that have something to tell.
    pub(super) is_waiting: bool,
    /// In the list of those that do not wait for the next time.
    pub(super) is_urgent: bool,
}

/// What is being told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    pub(super) question: Question,
    /// When, on the node's clock.
    sent_us: u64,
}

impl Counter {
    /// How long the next request would have to wait.
    pub(super) fn wait_us(&self, rule: &Rule, now_us: u64) -> u64 {
        self.tally.wait_us(rule, now_us)
    }

    /// How far what was counted lies ahead, microseconds: what has to drip before all is there again.
    pub(super) fn ahead_us(&self, now_us: u64) -> u64 {
        self.tally.requests.tat_us().saturating_sub(now_us)
    }

    /// Decides about a request, without asking anybody.
    pub(super) fn take(&mut self, rule: &Rule, now_us: u64) -> Verdict {
        let was_blocked = self.tally.blocked_until_us > now_us;
        let verdict = self.tally.take(rule, now_us);
        match verdict {
            Verdict::Admitted => self.admitted += 1,
            // A block does not begin anew by being hit.
            Verdict::Refused { .. } if !was_blocked => self.refused += 1,
            Verdict::Refused { .. } => {}
        }
        verdict
    }

    /// How much is to be told.
    pub(super) fn untold(&self) -> u64 {
        self.admitted + self.refused
    }

    /// Begins to tell; with `wants` it is a question, too. What has drained meanwhile, while nobody
    /// could be told, is nobody's matter any more.
    pub(super) fn tell(&mut self, rule: &Rule, now_us: u64, wants: bool) -> Telling {
        let undrained = |ahead_us: u64| match rule.quota.emission_us() {
            0 => 0,
            emission_us => ahead_us.div_ceil(emission_us),
        };
        let admitted = undrained(self.tally.requests.tat_us().saturating_sub(now_us));
        let refused = undrained(self.tally.refusals.tat_us().saturating_sub(now_us));
        // The one that began a block is in no cell.
        let refused = refused + u64::from(self.tally.blocked_until_us > now_us);
        let question = Question {
            rule: *rule,
            heard: self.heard,
            admitted: std::mem::take(&mut self.admitted).min(admitted),
            refused: std::mem::take(&mut self.refused).min(refused),
            wants,
        };
        Telling {
            question,
            sent_us: now_us,
        }
    }

    /// It was not heard.
    pub(super) fn untell(&mut self, telling: &Telling) {
        self.admitted += telling.question.admitted;
        self.refused += telling.question.refused;
    }

    /// It was, and this is what all have counted.
    pub(super) fn told(&mut self, telling: &Telling, answer: &Answer) {
        self.heard = answer.tally;
        let Telling { question, sent_us } = telling;
        // As of when it was sent, so that nobody is refused for the time that the answer took.
        let mut shared = answer.tally.moved(answer.now_us, *sent_us);
        shared.heal(&question.rule, *sent_us);
        // What this node has done meanwhile comes on top.
        shared.charge(&question.rule, *sent_us, self.admitted, self.refused);
        self.tally.merge(&shared);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::limits::gcra::Quota;

    const RULE: Rule = Rule {
        quota: Quota::per_minute(60),
        block_us: 300_000_000,
    };

    /// Redis, whose clock shows this much more.
    struct Redis(Tally, u64);

    impl Redis {
        fn run(&mut self, telling: &Telling, now_us: u64) -> Answer {
            let Question {
                rule,
                mut heard,
                admitted,
                refused,
                wants,
            } = telling.question;
            let now_us = now_us + self.1;
            let Self(tally, _) = self;
            heard.heal(&rule, now_us);
            tally.heal(&rule, now_us);
            tally.merge(&heard);
            tally.charge(&rule, now_us, admitted, refused);
            let passes = wants && tally.take(&rule, now_us) == Verdict::Admitted;
            Answer {
                now_us,
                tally: *tally,
                passes,
                was_bad: false,
            }
        }
    }

    fn exchange(counter: &mut Counter, redis: &mut Redis, now_us: u64) {
        let telling = counter.tell(&RULE, now_us, false);
        let answer = redis.run(&telling, now_us);
        counter.told(&telling, &answer);
    }

    fn passing(counter: &mut Counter, now_us: u64, n: usize) -> usize {
        (0..n)
            .filter(|_| counter.take(&RULE, now_us) == Verdict::Admitted)
            .count()
    }

    #[test]
    fn two_nodes_have_one_limit() {
        let mut redis = Redis(Tally::default(), 1 << 50);
        let (mut a, mut b) = (Counter::default(), Counter::default());
        assert_eq!(passing(&mut a, 5, 40), 40);
        exchange(&mut a, &mut redis, 5);
        exchange(&mut b, &mut redis, 5);
        assert_eq!(passing(&mut b, 5, 40), 20);
        exchange(&mut b, &mut redis, 5);
        exchange(&mut a, &mut redis, 5);
        assert_eq!(passing(&mut a, 5, 40), 0);
    }

    #[test]
    fn a_redis_that_forgets_hears_it_again_and_one_that_comes_back_gives_nothing_away() {
        let mut redis = Redis(Tally::default(), 1 << 50);
        let (mut a, mut b) = (Counter::default(), Counter::default());
        assert_eq!(passing(&mut a, 5, 60), 60);
        exchange(&mut a, &mut redis, 5);
        redis.0 = Tally::default();
        exchange(&mut a, &mut redis, 5);
        exchange(&mut b, &mut redis, 5);
        assert_eq!(passing(&mut b, 5, 60), 0);
        // Away for half a minute, in which the node admits what drips and no more.
        assert_eq!(passing(&mut a, 30_000_005, 60), 30);
        let telling = a.tell(&RULE, 30_000_005, false);
        a.untell(&telling);
        assert_eq!((a.admitted, a.refused), (30, 30));
        exchange(&mut a, &mut redis, 30_000_005);
        exchange(&mut b, &mut redis, 30_000_005);
        assert_eq!(passing(&mut b, 30_000_005, 60), 0);
    }

    #[test]
    fn what_has_drained_is_not_told() {
        let mut counter = Counter::default();
        passing(&mut counter, 5, 60);
        let telling = counter.tell(&RULE, 50_000_005, false);
        assert_eq!(telling.question.admitted, 10);
        counter.untell(&telling);
        let telling = counter.tell(&RULE, 70_000_000, false);
        assert_eq!(telling.question.admitted, 0);
    }

    #[test]
    fn a_block_is_everybodys() {
        let mut redis = Redis(Tally::default(), 1 << 50);
        let (mut a, mut b) = (Counter::default(), Counter::default());
        passing(&mut a, 5, 121);
        exchange(&mut a, &mut redis, 5);
        exchange(&mut b, &mut redis, 5);
        assert_eq!(b.wait_us(&RULE, 5), RULE.block_us);
    }

    proptest! {
        /// Nodes that tell each other now and then never admit, together, more than the limit and what
        /// drips, but for what each has not told; and none ever less than it would if it were told
        /// of everything at once.
        #[test]
        fn together_no_more_than_the_limit_and_what_was_not_told(
            steps in prop::collection::vec((0usize..3, 0u64..2_000_000, 1usize..8, any::<bool>()), 1..200),
        ) {
            let mut redis = Redis(Tally::default(), 1 << 50);
            let mut nodes = [Counter::default(), Counter::default(), Counter::default()];
            // Ideal: charged with all that was admitted, debts and all.
            let (mut ideal_us, mut now_us) = (0u64, 1u64);
            for (node, gap_us, n, tells) in steps {
                now_us += gap_us;
                let admitted = passing(&mut nodes[node], now_us, n) as u64;
                ideal_us = ideal_us.max(now_us) + admitted * RULE.quota.emission_us();
                if tells {
                    exchange(&mut nodes[node], &mut redis, now_us);
                }
                // Each may not know what the others have told since it last heard, either: all of
                // them tell and hear, and then nobody knows less than Redis.
                if tells && n == 7 {
                    for counter in &mut nodes {
                        exchange(counter, &mut redis, now_us);
                    }
                    for counter in &mut nodes {
                        exchange(counter, &mut redis, now_us);
                        let wait_us = counter.wait_us(&RULE, now_us);
                        let ahead_us = redis.0.requests.tat_us().saturating_sub(now_us + redis.1);
                        let next_us = ahead_us + RULE.quota.emission_us();
                        prop_assert!(wait_us >= next_us.saturating_sub(RULE.quota.burst_us()));
                    }
                }
                // Nothing is charged that was not admitted.
                // (What has drained in part counts as a whole, once for each node.)
                let charged_us = redis.0.requests.tat_us().saturating_sub(redis.1);
                let most_us = ideal_us + 3 * RULE.quota.emission_us();
                prop_assert!(charged_us <= most_us, "{charged_us} {ideal_us}");
            }
        }
    }
}
