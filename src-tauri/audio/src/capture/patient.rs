//! Devices that are asked on a thread of their own.
//!
//! A sound server that hangs answers nothing, and cpal waits for its answer without end.
//! Whoever records has to come to its next block of sound, and to Stop, all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::{Devices, Opened, Source};
use crate::Error;

/// How long a list of devices may take; the ring of an open stream holds more.
const LOOK_AT_MOST: Duration = Duration::from_secs(2);

/// How long it may take until a device is open.
const OPEN_AT_MOST: Duration = Duration::from_secs(12);

type Question<D> = Box<dyn FnOnce(&mut D) + Send>;

pub(super) struct Patient<D> {
    questions: Sender<Question<D>>,
    /// The last question is not answered yet.
    busy: Arc<AtomicBool>,
}

impl<D: Devices + 'static> Patient<D> {
    pub fn new(mut devices: D) -> Self {
        let (questions, asked) = channel::<Question<D>>();
        let answer = move || {
            for question in asked {
                question(&mut devices);
            }
        };
        std::thread::Builder::new()
            .name("devices".into())
            .spawn(answer)
            .expect("the system gives a thread");
        Self {
            questions,
            busy: Arc::default(),
        }
    }

    /// The answer, unless it takes longer than that, or the one before is still awaited.
    fn ask<T: Send + 'static>(
        &mut self,
        at_most: Duration,
        question: impl FnOnce(&mut D) -> T + Send + 'static,
    ) -> Option<T> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (answer, answered) = channel();
        let busy = Arc::clone(&self.busy);
        let question = Box::new(move |devices: &mut D| {
            let found = question(devices);
            busy.store(false, Ordering::Release);
            // Nobody waits for what came too late.
            let _ = answer.send(found);
        });
        self.questions.send(question).ok()?;
        answered.recv_timeout(at_most).ok()
    }
}

impl<D: Devices + 'static> Devices for Patient<D> {
    fn open(&mut self, source: Source) -> Result<Opened, Error> {
        let opened = self.ask(OPEN_AT_MOST, move |devices| devices.open(source));
        opened.unwrap_or_else(|| Err(Error::Device("it does not answer".into())))
    }

    fn default_id(&mut self, source: Source) -> Option<String> {
        self.ask(LOOK_AT_MOST, move |devices| devices.default_id(source))?
    }

    fn is_there(&mut self, id: &str) -> bool {
        let id = id.to_owned();
        self.ask(LOOK_AT_MOST, move |devices| devices.is_there(&id))
            .unwrap_or(true)
    }
}
