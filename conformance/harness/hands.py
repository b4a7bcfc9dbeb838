"""Eyes and hands on a desktop, by AT-SPI and D-Bus: a line of JSON on standard input says what to do, a line answers it.

Runs with the Python of the system, which knows GObject introspection.
"""

import json
import sys
import time

import gi

gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Atspi, Gdk, Gio, GLib  # noqa: E402

# Seconds for what an order waits for, and between two looks.
PATIENCE, PAUSE = 12.0, 0.2


class Missing(Exception):
    """What should be on the screen is not."""


def showing():
    """Every widget on the screen."""
    desktop = Atspi.get_desktop(0)
    for number in range(desktop.get_child_count()):
        application = desktop.get_child_at_index(number)
        if application is not None:
            application.clear_cache()
            # GTK 4 says that of its windows alone.
            new = application.get_toolkit_version().startswith("4.")
            yield from below(application, Atspi.StateType.VISIBLE if new else Atspi.StateType.SHOWING)


def below(thing, state):
    for number in range(thing.get_child_count()):
        child = thing.get_child_at_index(number)
        if child is not None and child.get_state_set().contains(state):
            yield child
            yield from below(child, state)


def said(thing):
    """The text of a widget; its name, if it has none."""
    text = Atspi.Text.get_text(thing, 0, -1) if "Text" in thing.get_interfaces() else ""
    return text or thing.get_name() or ""


def until(look, what):
    """What `look` finds once it finds something. Widgets may vanish while they are looked at."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if found := look():
                return found
        except GLib.Error:
            pass
        if time.monotonic() > end:
            raise Missing(f"not on the screen: {what}")
        time.sleep(PAUSE)


def screen():
    return [text for thing in showing() if (text := said(thing).strip())]


def last_look():
    """For who reads what went wrong."""
    try:
        return screen()
    except GLib.Error as error:
        return [str(error)]


def sees(texts):
    def look():
        seen = screen()
        return all(any(text in one for one in seen) for text in texts)

    until(look, " and ".join(texts))


def press(button):
    """Known by its name, or by what is told of it when it has none."""

    def look():
        for thing in showing():
            if thing.get_role() == Atspi.Role.PUSH_BUTTON and button in (thing.get_name(), thing.get_description()):
                return thing

    Atspi.Action.do_action(until(look, f"the button {button}"), 0)


def write(text):
    """Into the one text that can be edited over several lines."""

    def look():
        for thing in showing():
            states = thing.get_state_set()
            if states.contains(Atspi.StateType.EDITABLE) and states.contains(Atspi.StateType.MULTI_LINE):
                return thing

    Atspi.EditableText.set_text_contents(until(look, "something to write into"), text)


def fill(field, text):
    """A text of one line, known by its name."""

    def look():
        for thing in showing():
            if thing.get_state_set().contains(Atspi.StateType.EDITABLE) and thing.get_name() == field:
                return thing

    Atspi.EditableText.set_text_contents(until(look, f"the field {field}"), text)


def key(name):
    """Pressed where the cursor is."""
    Atspi.generate_keyboard_event(Gdk.keyval_from_name(name), None, Atspi.KeySynthType.SYM)


def visit(name, path, uri):
    """As a link that somebody clicks on."""
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    link = GLib.Variant("(assa{sv})", ([uri], "", {}))
    bus.call_sync(name, path, "org.gtk.Application", "Open", link, None, Gio.DBusCallFlags.NONE, -1, None)


def variant(value):
    if isinstance(value, bool):
        return GLib.Variant("b", value)
    if isinstance(value, str):
        return GLib.Variant("s", value)
    if isinstance(value, list):
        return GLib.Variant("as", value)
    return GLib.Variant("a{sv}", {key: variant(one) for key, one in value.items()})


def act(name, path, action, value=None):
    """An action of a GtkApplication or of one of its windows, as a menu would do it, once it can be done."""
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)

    def ask(method, arguments):
        return bus.call_sync(name, path, "org.gtk.Actions", method, arguments, None, Gio.DBusCallFlags.NONE, -1, None)

    until(lambda: ask("Describe", GLib.Variant("(s)", (action,)))[0][0], f"a possible {action}")
    parameters = [] if value is None else [variant(value)]
    ask("Activate", GLib.Variant("(sava{sv})", (action, parameters, {})))


def picture(file, colour=None, pixels=1):
    """Keeps the screen as PNG, once it has so many pixels of the colour."""

    def look():
        root = Gdk.get_default_root_window()
        taken = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
        return taken if colour is None or count(taken, bytes(colour)) >= pixels else None

    until(look, f"{pixels} pixels of the colour {colour}").savev(file, "png", [], [])


def count(taken, colour):
    data, step = taken.get_pixels(), taken.get_n_channels()
    reds, greens, blues = (data[channel::step] for channel in range(3))
    return sum(pixel == tuple(colour) for pixel in zip(reds, greens, blues))


ORDERS = {order.__name__: order for order in (sees, press, write, fill, key, visit, act, picture)}


def main():
    Gdk.init([])
    Atspi.init()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            ORDERS[order.pop("do")](**order)
            print("done", flush=True)
        except (Missing, GLib.Error) as error:
            print("failed", json.dumps([str(error), last_look()]), flush=True)


main()
