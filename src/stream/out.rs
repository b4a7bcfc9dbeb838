//! The list of actions under construction: neighbouring writes become one.

use std::time::Duration;

use super::framing::{Framing, Opening};
use super::input::Action;
use super::question::Question;
use crate::xml::Element;

/// Collects actions.
pub(super) struct Out<'a> {
    pub framing: Framing,
    pub actions: &'a mut Vec<Action>,
}

impl Out<'_> {
    pub fn open(&mut self, opening: &Opening<'_>) {
        self.write(|framing, bytes| framing.open(opening, bytes));
    }

    pub fn close(&mut self) {
        self.write(|framing, bytes| framing.close(bytes));
    }

    pub fn element(&mut self, element: &Element) {
        self.write(|framing, bytes| framing.element(element, bytes));
    }

    pub fn ask(&mut self, question: Question) {
        self.actions.push(Action::Ask(question));
    }

    pub fn deadline(&mut self, after: Option<Duration>) {
        self.actions.push(Action::Deadline(after));
    }

    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn write(&mut self, write: impl FnOnce(Framing, &mut Vec<u8>)) {
        if let Some(Action::Send(bytes)) = self.actions.last_mut() {
            return write(self.framing, bytes);
        }
        let mut bytes = Vec::new();
        write(self.framing, &mut bytes);
        self.actions.push(Action::Send(bytes));
    }
}
