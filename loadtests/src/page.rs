//! Tables for people.

use std::fmt::Write as _;

use crate::outcome::Outcome;

/// A line for each run.
pub(crate) fn fanout(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_fanout(&mut text, outcomes);
    text
}

fn write_fanout(text: &mut String, outcomes: &[Outcome]) -> std::fmt::Result {
    writeln!(
        text,
        "{:13}{:>12}{:>9}{:>12}  {:>7}{:>7}{:>7}  {:>8}{:>8}{:>8}{:>8}   server cpu µs each",
        "server",
        "rooms × of",
        "msgs/s",
        "pushes/s",
        "total",
        "user",
        "system",
        "p50 ms",
        "p99 ms",
        "p99.9",
        "max"
    )?;
    for outcome in outcomes {
        let ms = |micros: u64| micros as f64 / 1000.0;
        writeln!(
            text,
            "{:13}{:>12}{:>9.0}{:>12.0}  {:>7.2}{:>7.2}{:>7.2}  {:>8.2}{:>8.2}{:>8.2}{:>8.2}",
            outcome.server,
            format!("{} × {}", outcome.rooms, outcome.members),
            outcome.rate * f64::from(outcome.rooms),
            outcome.per_second,
            outcome.cpu_us_each,
            outcome.cpu_user_us_each,
            outcome.cpu_system_us_each,
            ms(outcome.latency.p50_us),
            ms(outcome.latency.p99_us),
            ms(outcome.latency.p999_us),
            ms(outcome.latency.max_us)
        )?;
        write_notes(text, outcome)?;
    }
    Ok(())
}

/// What is to be said about a run besides its figures.
pub(crate) fn write_notes(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Outcome {
        lost,
        doubled,
        disordered,
        strayed,
        corrupt,
        refused,
        ended,
        failed,
        ..
    } = outcome;
    if outcome.is_faultless() {
        let Outcome {
            received, verified, ..
        } = outcome;
        writeln!(
            text,
            "  all {received} deliveries came once and in order; {verified} were parsed as a whole"
        )?;
    } else {
        writeln!(
            text,
            "  FAULTS: {lost} lost, {doubled} doubled, {disordered} disordered, {strayed} in the \
             wrong room, {corrupt} corrupt, {refused} commands refused, {ended} connections ended, \
             {failed} failed"
        )?;
        for (reason, count) in &outcome.reasons {
            writeln!(text, "    {count} × {reason}")?;
        }
    }
    let conduct = &outcome.generator;
    writeln!(
        text,
        "  server {:.2} cores{}, waited {:.0} %; generator {:.2} cores in {} process(es), busiest \
         {:.0} %, waited {:.0} %, sent p99 {:.2} ms late (max {:.2}); others {:.2} cores{}",
        outcome.server_cores,
        if outcome.durable {
            format!(", Postgres {:.1} µs each", outcome.postgres_us_each)
        } else {
            String::new()
        },
        outcome.server_waited * 100.0,
        conduct.cores_used,
        conduct.processes,
        conduct.busiest * 100.0,
        conduct.waited * 100.0,
        conduct.slip.p99_us as f64 / 1000.0,
        conduct.slip.max_us as f64 / 1000.0,
        outcome.others_cores,
        if outcome.held_back > 0 {
            format!(
                "; {} messages waited for the server to read",
                outcome.held_back
            )
        } else {
            String::new()
        }
    )?;
    for reason in &outcome.invalid {
        writeln!(
            text,
            "  INVALID, the generator is what was measured: {reason}"
        )?;
    }
    Ok(())
}
