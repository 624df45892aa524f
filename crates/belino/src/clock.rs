//! The only place that reads a clock. Everything else is told the time.
//!
//! In builds with debug assertions a clock can be turned by hand, so that tests of timers need not wait.

use mms::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What tells the time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// A clock that only moves when it is told to.
    Manual(watch::Sender<Timestamp>),
}

impl Clock {
    /// A clock that stands at this instant.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(watch::Sender::new(start))
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "the one place where the house reads the clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(time) => *time.borrow(),
        }
    }

    /// An instant to measure spans by: it does not jump when the time of day is set. Its beginning means nothing.
    pub fn steady(&self) -> Timestamp {
        match self {
            Self::System => {
                Timestamp::from_millis(i64::try_from(monotonic() / 1_000_000).unwrap_or(i64::MAX))
            }
            Self::Manual(_) => self.now(),
        }
    }

    /// As [`Clock::steady`], in nanoseconds, for spans that are shorter than a millisecond.
    pub fn steady_nanos(&self) -> u64 {
        match self {
            Self::System => monotonic(),
            Self::Manual(_) => u64::try_from(self.now().millis()).unwrap_or(0).saturating_mul(1_000_000),
        }
    }

    /// Something begins now.
    pub fn begin(&self) -> Began {
        Began { at: self.now(), steady: self.steady_nanos() }
    }

    /// Move a manual clock on; a system clock moves by itself.
    pub fn advance(&self, span: Duration) {
        if let Self::Manual(time) = self {
            time.send_modify(|now| *now = now.plus(span));
        }
    }

    /// Whether it only moves when told to.
    pub const fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }

    /// Wait for a span of this clock's time.
    pub async fn sleep(&self, span: Duration) {
        match self {
            Self::System => tokio::time::sleep(span).await,
            Self::Manual(time) => {
                let until = self.now().plus(span);
                let mut time = time.subscribe();
                // The sender lives in the clock itself, so waiting cannot fail while it is waited for.
                let _ = time.wait_for(|now| *now >= until).await;
            }
        }
    }

    /// What `what` gives, or `None` when it takes longer than `span`.
    pub async fn within<T>(&self, span: Duration, what: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::System => tokio::time::timeout(span, what).await.ok(),
            Self::Manual(_) => tokio::select! {
                biased;
                result = what => Some(result),
                () = self.sleep(span) => None,
            },
        }
    }
}

/// When something began: by the time of day, and by the clock that does not jump.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    /// The time of day.
    pub at: Timestamp,
    steady: u64,
}

impl Began {
    /// For how long it has been going on.
    pub fn took(&self, clock: &Clock) -> Duration {
        Duration::from_nanos(clock.steady_nanos().saturating_sub(self.steady))
    }
}

/// Nanoseconds of the machine's monotonic clock. Readings of different processes can be compared: the load bench takes
/// one where a mail is sent and another where it is delivered.
pub fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Wait until [`monotonic`] reads so much. For load that is offered at a given rate: nothing else happens then.
pub fn wait_until(monotonic: u64) {
    let request = rustix::time::Timespec {
        tv_sec: i64::try_from(monotonic / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: (monotonic % 1_000_000_000) as _,
    };
    // A signal wakes it early; the instant stays the same.
    while let Err(rustix::io::Errno::INTR) =
        rustix::thread::clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &request)
    {}
}

/// The time by which HTTP connections wait for a request's header section.
impl hyper::rt::Timer for Clock {
    fn sleep(&self, span: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let clock = self.clone();
        Box::pin(Asleep(Box::pin(async move { clock.sleep(span).await })))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        hyper::rt::Timer::sleep(self, deadline.saturating_duration_since(hyper::rt::Timer::now(self)))
    }
}

struct Asleep(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Future for Asleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Asleep {}
