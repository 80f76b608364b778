//! The three questions about the time, with the arithmetic (and the oddities) of the browsers' library.
//!
//! The library moves two `Date`s around and compares. What follows from that and is kept, since scripts are written
//! against it: a month given alone ends where the 31st of it falls (`dateRange("JAN", "FEB")` ends on March 3rd), a
//! range of hours ends at `:59` of its last hour and does not go over midnight, names are in capitals.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use super::number::{parse_int, to_number};
use super::{Arg, Outcome, Thrown, Value, World, arg};

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

pub fn weekday_range(args: &[Arg], world: &mut dyn World) -> Outcome {
    let now = world.now();
    if args.is_empty() {
        return Ok(Value::Bool(false));
    }
    let (count, gmt) = without_gmt(args);
    let today = clock(&now, gmt).date().weekday().to_sunday_zero_offset();
    let first = position(&WEEKDAYS, arg(args, 0));
    let last = if count == 2 { position(&WEEKDAYS, arg(args, 1)) } else { first };
    let (Some(first), Some(last)) = (first, last) else { return Ok(Value::Bool(false)) };
    let today = i32::from(today);
    Ok(Value::Bool(if first <= last { (first..=last).contains(&today) } else { today <= last || today >= first }))
}

pub fn date_range(args: &[Arg], world: &mut dyn World) -> Outcome {
    let now = world.now();
    if args.is_empty() {
        return Ok(Value::Bool(false));
    }
    let (count, gmt) = without_gmt(args);
    let today = clock(&now, gmt).date();
    if count == 1 {
        return Ok(Value::Bool(match parse_int(arg(args, 0)) {
            None => position(&MONTHS, arg(args, 0)) == Some(i32::from(today.month()) - 1),
            Some(day) if day < 32 => i32::from(today.day()) == day,
            Some(year) => i32::from(today.year()) == year,
        }));
    }
    let here = now.date();
    let half = count / 2;
    let mut first = Moved { year: here.year().into(), month: 0, day: 1 };
    let mut last = Moved { year: here.year().into(), month: 11, day: 31 };
    // Days alone are days of the present month.
    let mut present_month = false;
    for written in &args[..half] {
        present_month |= first.set(written) && count <= 2;
    }
    for written in &args[half..count] {
        last.set(written);
    }
    if present_month {
        first.set_month(i32::from(here.month()) - 1);
        last.set_month(i32::from(here.month()) - 1);
    }
    let (first, last) = (first.date(), last.date());
    Ok(Value::Bool(if first <= last { first <= today && today <= last } else { today <= last || today >= first }))
}

pub fn time_range(args: &[Arg], world: &mut dyn World) -> Outcome {
    let now = world.now();
    if args.is_empty() {
        return Ok(Value::Bool(false));
    }
    let (count, gmt) = without_gmt(args);
    let time = clock(&now, gmt).time();
    let hour = f64::from(time.hour());
    let number = |at: usize| to_number(arg(args, at));
    Ok(Value::Bool(match count {
        0 => return Err(BAD_COUNT),
        1 => hour == number(0),
        2 => number(0) <= hour && hour <= number(1),
        4 | 6 => {
            let middle = count / 2;
            // Without seconds, those of the present moment stand for the first end and :59 for the last.
            let seconds = |at: usize, otherwise: f64| if middle == 3 { number(at) } else { otherwise };
            let present = f64::from(time.second());
            let first = number(0) * 3600.0 + number(1) * 60.0 + seconds(2, present);
            let last = number(middle) * 3600.0 + number(middle + 1) * 60.0 + seconds(middle + 2, 59.0);
            let current = hour * 3600.0 + f64::from(time.minute()) * 60.0 + present;
            if first <= last { first <= current && current <= last } else { last >= current || current >= first }
        }
        _ => return Err(BAD_COUNT),
    }))
}

const BAD_COUNT: Thrown = Thrown::Text("timeRange: bad number of arguments");

/// How many arguments there are before a final `"GMT"`, and whether it is there.
fn without_gmt(args: &[Arg]) -> (usize, bool) {
    let gmt = args.last().and_then(Arg::string) == Some("GMT");
    (args.len() - usize::from(gmt), gmt)
}

fn clock(now: &Zoned, gmt: bool) -> DateTime {
    if gmt { now.with_time_zone(TimeZone::UTC).datetime() } else { now.datetime() }
}

fn position(names: &[&str], name: &Arg) -> Option<i32> {
    let name = name.string()?;
    names.iter().position(|known| *known == name).map(|at| at as i32)
}

/// A date while the library sets its parts one by one: what overflows is carried on at once, as a `Date` does.
#[derive(Clone, Copy)]
struct Moved {
    year: i32,
    /// From 0.
    month: i32,
    day: i32,
}

impl Moved {
    /// Takes a day, a month's name or a year; says whether it was a day.
    fn set(&mut self, written: &Arg) -> bool {
        match parse_int(written) {
            // An unknown name is month -1: December of the year before.
            None => self.set_month(position(&MONTHS, written).unwrap_or(-1)),
            Some(day) if day < 32 => {
                self.day = day;
                self.carry();
                return true;
            }
            Some(year) => {
                self.year = year;
                self.carry();
            }
        }
        false
    }

    fn set_month(&mut self, month: i32) {
        self.month = month;
        self.carry();
    }

    fn carry(&mut self) {
        let date = self.date();
        *self = Self { year: date.year().into(), month: i32::from(date.month()) - 1, day: date.day().into() };
    }

    fn date(self) -> Date {
        let year = (self.year + self.month.div_euclid(12)).clamp(-9999, 9999);
        let first = Date::new(year as i16, self.month.rem_euclid(12) as i8 + 1, 1).unwrap_or(Date::ZERO);
        first.saturating_add((self.day - 1).days())
    }
}
