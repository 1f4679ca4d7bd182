//! The page of `recovery`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::samples::Rate;

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) missed: u64,
    pub(crate) body_bytes: usize,
    pub(crate) cores: usize,
    pub(crate) plain_select: Rate,
    pub(crate) resumed: Vec<ResumeRow>,
    pub(crate) herd: HerdRow,
    pub(crate) revoked: Rate,
    pub(crate) removed: Rate,
}

/// A way of resuming.
#[derive(Debug, Serialize)]
pub(crate) struct ResumeRow {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) rate: Rate,
}

/// Many who resume at once.
#[derive(Debug, Serialize)]
pub(crate) struct HerdRow {
    pub(crate) clients: usize,
    pub(crate) events_each: u64,
    /// Until the last of them had everything.
    pub(crate) all_ms: f64,
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
        let Self {
            missed,
            body_bytes,
            cores,
            ..
        } = self;
        writeln!(
            page,
            "{missed} missed messages of {body_bytes} bytes; {cores} cores for node, Postgres and \
             generator\n"
        )?;
        writeln!(page, "{:44} p50 ms   p99 ms   max ms", "")?;
        line(page, "a plain SELECT of them", &self.plain_select)?;
        for row in &self.resumed {
            line(page, &format!("resumed {}", row.name), &row.rate)?;
        }
        let HerdRow {
            clients,
            events_each,
            all_ms,
            rate,
        } = &self.herd;
        line(
            page,
            &format!("{clients} clients at once, {events_each} each"),
            rate,
        )?;
        line(page, "session revoked → socket closed", &self.revoked)?;
        line(page, "member removed → socket told", &self.removed)?;
        let pushes = *clients as f64 * *events_each as f64;
        writeln!(
            page,
            "\nThe {clients} clients had everything after {all_ms:.0} ms: {:.0} pushes/s",
            pushes / all_ms * 1000.0
        )?;
        writeln!(page, "\nRatios")?;
        for row in &self.resumed {
            let ratio = row.rate.p50_us as f64 / self.plain_select.p50_us.max(1) as f64;
            let name = format!("resumed {} / plain SELECT", row.name);
            writeln!(page, "  {name:42}{ratio:6.2}")?;
        }
        Ok(())
    }
}

fn line(page: &mut String, name: &str, rate: &Rate) -> std::fmt::Result {
    let ms = |micros: u64| micros as f64 / 1000.0;
    writeln!(
        page,
        "{name:44}{:7.2}{:9.2}{:9.2}",
        ms(rate.p50_us),
        ms(rate.p99_us),
        ms(rate.max_us)
    )
}
