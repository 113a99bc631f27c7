//! Where captions are shown: every window that watches sees the same.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::types::{LiveEvent, LiveLine, LiveView, Phase};
use crate::types::{ApiError, ErrorCode};

type Watcher = Box<dyn FnMut(&LiveEvent) -> bool + Send>;

/// Lines that a window gets when it begins to watch; the transcript has them all.
const MAX_LINES: usize = 200;

/// The captions of this process: at most one session, and who watches it.
#[derive(Default)]
pub(crate) struct Stage {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    watchers: Vec<Watcher>,
    view: LiveView,
    lines: VecDeque<LiveLine>,
    control: Option<Arc<Control>>,
}

/// What the user asks of a session while it runs.
#[derive(Default)]
pub(crate) struct Control {
    /// No more sound.
    pub stop: AtomicBool,
    /// And what is not written down yet stays for later.
    pub leave: AtomicBool,
    /// Another language pair.
    pub languages: Mutex<Option<Languages>>,
}

/// What is spoken, and what it is translated into.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Languages {
    pub spoken: Option<::captions::Language>,
    pub translate: Option<::captions::Language>,
}

impl Stage {
    /// Shows everything as it is, then what happens, until `on` returns false.
    pub fn watch(&self, mut on: Watcher) {
        let mut inner = self.inner();
        if on(&LiveEvent::View(inner.whole_view())) {
            inner.watchers.push(on);
        }
    }

    /// Takes the stage for a session; one at a time.
    pub fn enter(&self, view: LiveView) -> Result<Arc<Control>, ApiError> {
        let mut inner = self.inner();
        if inner.control.is_some() {
            return Err(ApiError::new(
                ErrorCode::Busy,
                "Captions are running already. Stop them first.",
            ));
        }
        let control = Arc::new(Control::default());
        inner.control = Some(Arc::clone(&control));
        inner.set(view);
        Ok(control)
    }

    /// Leaves the stage as it is, with the reason if there is one.
    pub fn leave(&self, failure: Option<ApiError>) {
        let mut inner = self.inner();
        inner.control = None;
        let mut view = inner.whole_view();
        view.phase = Phase::Idle;
        view.behind_ms = 0;
        view.failure = failure;
        inner.set(view);
    }

    pub fn show(&self, event: LiveEvent) {
        self.inner().show(event);
    }

    /// Changes what is shown as a whole.
    pub fn update(&self, change: impl FnOnce(&mut LiveView)) {
        let mut inner = self.inner();
        let mut view = inner.whole_view();
        change(&mut view);
        inner.set(view);
    }

    pub fn view(&self) -> LiveView {
        self.inner().whole_view()
    }

    /// The session that runs.
    pub fn control(&self) -> Option<Arc<Control>> {
        self.inner().control.clone()
    }

    /// Asks the session to end its sound.
    pub fn stop(&self) {
        if let Some(control) = self.control() {
            control.stop.store(true, Ordering::Relaxed);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A watcher that panics is dropped with its window; what is shown is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn whole_view(&self) -> LiveView {
        LiveView {
            lines: self.lines.iter().cloned().collect(),
            ..self.view.clone()
        }
    }

    fn set(&mut self, mut view: LiveView) {
        self.lines = std::mem::take(&mut view.lines).into();
        self.view = view;
        let whole = self.whole_view();
        self.tell(&LiveEvent::View(whole));
    }

    fn show(&mut self, event: LiveEvent) {
        match &event {
            LiveEvent::Phase { phase } => self.view.phase = *phase,
            LiveEvent::Line(line) => self.keep(line),
            LiveEvent::Clock {
                elapsed_ms,
                behind_ms,
            } => {
                self.view.elapsed_ms = *elapsed_ms;
                self.view.behind_ms = *behind_ms;
            }
            LiveEvent::Pace { pace } => self.view.pace = *pace,
            LiveEvent::Notice(notice) => self.view.notice = Some(notice.clone()),
            LiveEvent::View(_) | LiveEvent::Level { .. } => {}
        }
        self.tell(&event);
    }

    fn keep(&mut self, line: &LiveLine) {
        let same = |l: &&mut LiveLine| (l.channel, l.segment) == (line.channel, line.segment);
        if let Some(known) = self.lines.iter_mut().rev().find(same) {
            known.clone_from(line);
            return;
        }
        self.lines.push_back(line.clone());
        if self.lines.len() > MAX_LINES {
            self.lines.pop_front();
        }
    }

    fn tell(&mut self, event: &LiveEvent) {
        self.watchers.retain_mut(|watcher| watcher(event));
    }
}
