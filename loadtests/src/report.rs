//! The page that is printed in the end.

use std::fmt::Write as _;

use serde::Serialize;

use crate::samples::Rate;
use crate::start_time::StartTimes;

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) postgres: String,
    pub(crate) fsync: String,
    pub(crate) cores: usize,
    pub(crate) body_bytes: usize,
    pub(crate) seconds_each: u64,
    pub(crate) start: StartTimes,
    pub(crate) plain: Vec<PlainRow>,
    pub(crate) published: Vec<PublishRow>,
    /// Acknowledged publishes in all, each of which was found stored.
    pub(crate) acknowledged: u64,
}

/// A measurement of plain INSERTs.
#[derive(Debug, Serialize)]
pub(crate) struct PlainRow {
    pub(crate) connections: u32,
    pub(crate) rows_each: u32,
    #[serde(flatten)]
    pub(crate) rate: Rate,
}

/// A measurement of durable publishes.
#[derive(Debug, Serialize)]
pub(crate) struct PublishRow {
    pub(crate) publishers: usize,
    pub(crate) window: usize,
    pub(crate) rooms: usize,
    /// Pushes that the publishers received for each publish.
    pub(crate) pushes_each: f64,
    /// Processor time of the node for each publish.
    pub(crate) node_cpu_us_each: f64,
    #[serde(flatten)]
    pub(crate) rate: Rate,
}

impl Report {
    /// For people.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        writeln!(
            page,
            "Postgres {}, fsync {}, {} cores for node, Postgres and generator; bodies of {} bytes, \
             {} s each",
            self.postgres, self.fsync, self.cores, self.body_bytes, self.seconds_each
        )?;
        writeln!(page, "\nStart of the node, ms")?;
        let start = &self.start;
        writeln!(
            page,
            "  embedded, first       {:9.0}",
            start.embedded_first_ms
        )?;
        writeln!(
            page,
            "  embedded, later       {:9.0}",
            start.embedded_later_ms
        )?;
        writeln!(
            page,
            "  existing database     {:9.0}",
            start.existing_database_ms
        )?;
        writeln!(
            page,
            "\nPlain INSERTs: connections, rows each   rows/s   p50 ms   p99 ms   max ms"
        )?;
        for row in &self.plain {
            write_rate(
                page,
                [u64::from(row.connections), u64::from(row.rows_each)],
                &row.rate,
            )?;
            writeln!(page)?;
        }
        writeln!(
            page,
            "\nDurable: publishers, in flight each     acks/s   p50 ms   p99 ms   max ms  \
             pushes each  node CPU µs each"
        )?;
        for row in &self.published {
            write_rate(page, [row.publishers as u64, row.window as u64], &row.rate)?;
            writeln!(
                page,
                "{:13.1}{:18.1}",
                row.pushes_each, row.node_cpu_us_each
            )?;
        }
        self.write_ratios(page)?;
        writeln!(
            page,
            "\nEach of the {} acknowledged publishes was found stored, without holes.",
            self.acknowledged
        )
    }

    /// What holds on other machines too.
    fn write_ratios(&self, page: &mut String) -> std::fmt::Result {
        let plain = |connections, rows_each| {
            let row = self.plain.iter();
            row.filter(|row| row.connections == connections && row.rows_each == rows_each)
                .map(|row| &row.rate)
                .next()
        };
        let published = |publishers| {
            let mut rows = self.published.iter();
            rows.find(|row| row.publishers == publishers)
                .map(|row| &row.rate)
        };
        writeln!(page, "\nRatios")?;
        if let (Some(one), Some(commit)) = (published(1), plain(1, 1)) {
            let ratio = one.p50_us as f64 / commit.p50_us.max(1) as f64;
            writeln!(
                page,
                "  ack p50 of one publisher / plain commit p50     {ratio:6.2}"
            )?;
        }
        if let (Some(many), Some(single)) = (published(200), plain(10, 1)) {
            let ratio = many.per_second / single.per_second;
            writeln!(
                page,
                "  200 publishers / 10 connections × 1 row         {ratio:6.2}"
            )?;
        }
        if let (Some(many), Some(batches)) = (published(200), plain(1, 100)) {
            let ratio = many.per_second / batches.per_second;
            writeln!(
                page,
                "  200 publishers / 1 connection × 100 rows        {ratio:6.2}"
            )?;
        }
        Ok(())
    }
}

fn write_rate(page: &mut String, plan: [u64; 2], rate: &Rate) -> std::fmt::Result {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let [parties, each] = plan;
    write!(
        page,
        "{parties:26}{each:11} {:8.0}{:9.2}{:9.2}{:9.2}",
        rate.per_second,
        ms(rate.p50_us),
        ms(rate.p99_us),
        ms(rate.max_us)
    )
}
