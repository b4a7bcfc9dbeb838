//! The configuration of a room as a form (XEP-0045 §10.1.3, §16.5.3).

use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, FieldType, Form, FormType};
use crate::proto::{ns, uri};
use crate::state::rooms::{Options, Roles, Talk};

/// Choices for the number of occupants.
const SIZES: [u32; 8] = [10, 20, 50, 100, 200, 500, 1000, 5000];

/// What goes into a form besides options.
pub struct Lists<'a> {
    /// Who administers the room.
    pub admins: Vec<&'a str>,
    /// Whose it is.
    pub owners: Vec<&'a str>,
}

/// The form, filled in with what is set.
pub fn form(options: &Options, lists: &Lists<'_>, most: usize, history: usize) -> Form {
    let form = Form::new(FormType::Form)
        .with_title("Configuration of the room")
        .with_instructions("Fill in this form to change what the room is like.")
        .with_form_type(ns::MUC_ROOM_CONFIG);
    let form = appearance(form, options);
    let form = entry(form, options, most);
    let form = conversation(form, options);
    let form = keeping(form, options, history);
    let jids = |var: &str, jids: &[&str], label: &str| {
        let field = Field::new(FieldType::JidMulti, var).with_label(label);
        field.with_values(jids.iter().copied())
    };
    form.with_field(jids("muc#roomconfig_roomadmins", &lists.admins, "Admins"))
        .with_field(jids("muc#roomconfig_roomowners", &lists.owners, "Owners"))
}

fn appearance(form: Form, o: &Options) -> Form {
    form.with_field(Field::text("muc#roomconfig_roomname", &o.name).with_label("Name"))
        .with_field(
            Field::text("muc#roomconfig_roomdesc", &o.description).with_label("Description"),
        )
        .with_field(Field::text("muc#roomconfig_lang", &o.lang).with_label("Language"))
        .with_field(
            Field::boolean("muc#roomconfig_publicroom", o.public)
                .with_label("Anyone can find the room in the list"),
        )
        .with_field(
            Field::boolean("muc#roomconfig_persistentroom", o.persistent)
                .with_label("The room stays when it is empty"),
        )
        .with_field(
            Field::text("muc#roomconfig_pubsub", &o.pubsub).with_label("Associated node (URI)"),
        )
        .with_field(Field::text(SPACE, &o.space).with_label("Space that the room is part of (URI)"))
}

fn entry(form: Form, o: &Options, most: usize) -> Form {
    let password = Field::new(FieldType::TextPrivate, "muc#roomconfig_roomsecret")
        .with_label("Password")
        .with_values(o.password.as_deref());
    let sizes: Vec<String> = SIZES
        .iter()
        .filter(|size| **size as usize <= most)
        .chain((o.most_occupants > 0).then_some(&o.most_occupants))
        .map(u32::to_string)
        .collect();
    let chosen = match o.most_occupants {
        0 => "none".to_owned(),
        most => most.to_string(),
    };
    let mut number = Field::new(FieldType::ListSingle, "muc#roomconfig_maxusers")
        .with_label("Occupants at the most")
        .with_value(&chosen);
    number.options.push((
        Some("As many as the service allows".to_owned()),
        "none".to_owned(),
    ));
    for size in &sizes {
        if !number.options.iter().any(|(_, known)| known == size) {
            number = number.with_option(size);
        }
    }
    let whois = if o.non_anonymous {
        "anyone"
    } else {
        "moderators"
    };
    form.with_field(
        Field::boolean("muc#roomconfig_membersonly", o.members_only)
            .with_label("Only members may enter"),
    )
    .with_field(
        Field::boolean("muc#roomconfig_passwordprotectedroom", o.password.is_some())
            .with_label("A password is needed to enter"),
    )
    .with_field(password)
    .with_field(number)
    .with_field(
        Field::boolean("muc#roomconfig_allowinvites", o.allow_invites)
            .with_label("Members may invite others"),
    )
    .with_field(
        Field::boolean(ALLOW_REGISTER, o.registration)
            .with_label("People may register with the room, and become members"),
    )
    .with_field(
        Field::choice(
            "muc#roomconfig_whois",
            whois,
            &[("moderators", "Moderators only"), ("anyone", "Anyone")],
        )
        .with_label("Who sees the addresses of occupants"),
    )
}

/// Not of the specification; other servers call it so.
const ALLOW_REGISTER: &str = "{http://prosody.im/protocol/muc}roomconfig_allow_register";

fn conversation(form: Form, o: &Options) -> Form {
    let talk: Vec<(&str, &str)> = Talk::ALL
        .iter()
        .map(|(_, value, label)| (*value, *label))
        .collect();
    let chosen = Talk::ALL
        .iter()
        .find(|(talk, ..)| *talk == o.private_messages);
    let chosen = chosen.map_or("anyone", |(_, value, _)| value);
    let mut slow = Field::text(
        "muc#roomconfig_slow_mode_duration",
        &o.slow_mode.to_string(),
    )
    .with_label("Seconds that everybody waits between two messages; 0: none");
    slow.whole = Some((0, SLOWEST));
    form.with_field(
        Field::boolean("muc#roomconfig_moderatedroom", o.moderated)
            .with_label("Only members may speak, and to whom moderators give voice"),
    )
    .with_field(
        Field::boolean("muc#roomconfig_changesubject", o.change_subject)
            .with_label("Occupants may change the subject"),
    )
    .with_field(
        Field::choice("muc#roomconfig_allowpm", chosen, &talk)
            .with_label("Who may send private messages"),
    )
    .with_field(
        roles("muc#roomconfig_presencebroadcast", o.broadcast)
            .with_label("Whose presence is shown"),
    )
    .with_field(
        roles("muc#roomconfig_getmemberlist", o.member_list)
            .with_label("Who may see the list of members"),
    )
    .with_field(slow)
}

fn keeping(form: Form, o: &Options, history: usize) -> Form {
    let mut most = Field::text("muc#maxhistoryfetch", &o.history.to_string())
        .with_label("Messages of history shown to who enters");
    most.whole = Some((0, history as u64));
    form.with_field(most)
        .with_field(
            Field::boolean("muc#roomconfig_enablearchiving", o.archive)
                .with_label("Messages are kept for those who may read them later"),
        )
        .with_field(
            Field::boolean("muc#roomconfig_enablelogging", o.logged)
                .with_label("What is said is published"),
        )
        .with_field(
            Field::boolean(ORDERED, o.ordered)
                .with_label("The room keeps the order of an encrypted group (MLS)"),
        )
        .with_field(
            Field::boolean(EXTERNAL, o.external)
                .with_label("Occupants may join that group by themselves"),
        )
}

/// The two of `docs/mls.md`.
const ORDERED: &str = "{urn:waxwing:mls:0}ordered";
const EXTERNAL: &str = "{urn:waxwing:mls:0}external";

/// XEP-0503 says only how the answer is shown (§5.5).
const SPACE: &str = "{urn:xmpp:spaces:0}parent";

/// The longest wait of slow mode, in seconds: a day.
const SLOWEST: u64 = 86_400;

const NAMES: [(&str, &str); 3] = [
    ("moderator", "Moderators"),
    ("participant", "Participants"),
    ("visitor", "Visitors"),
];

fn roles(var: &str, roles: Roles) -> Field {
    let mut field = Field::new(FieldType::ListMulti, var);
    let set = [roles.moderator, roles.participant, roles.visitor];
    for ((value, label), set) in NAMES.iter().zip(set) {
        let option = (Some((*label).to_owned()), (*value).to_owned());
        field.options.push(option);
        field.values.extend(set.then(|| (*value).to_owned()));
    }
    field
}

/// What a checked submission makes of the options; what was left out stays.
pub fn apply(checked: &Form, options: &mut Options, text: usize) -> Result<(), StanzaError> {
    texts(checked, options, text)?;
    let yes = |var: &str, flag: &mut bool| {
        if let Some(value) = checked.boolean(var) {
            *flag = value;
        }
    };
    yes("muc#roomconfig_publicroom", &mut options.public);
    yes("muc#roomconfig_persistentroom", &mut options.persistent);
    yes("muc#roomconfig_membersonly", &mut options.members_only);
    yes("muc#roomconfig_allowinvites", &mut options.allow_invites);
    yes(ALLOW_REGISTER, &mut options.registration);
    yes("muc#roomconfig_moderatedroom", &mut options.moderated);
    yes("muc#roomconfig_changesubject", &mut options.change_subject);
    yes("muc#roomconfig_enablearchiving", &mut options.archive);
    yes("muc#roomconfig_enablelogging", &mut options.logged);
    yes(ORDERED, &mut options.ordered);
    yes(EXTERNAL, &mut options.external);
    if options.ordered && !options.archive {
        let text = "Who is away reads the changes of an encrypted group in the archive";
        return Err(unfit(text.to_owned()));
    }
    if let Some(whois) = checked.value("muc#roomconfig_whois") {
        options.non_anonymous = whois == "anyone";
    }
    if let Some(value) = checked.value("muc#roomconfig_allowpm") {
        let talk = Talk::ALL.iter().find(|(_, name, _)| *name == value);
        options.private_messages = talk.map_or(Talk::Anyone, |(talk, ..)| *talk);
    }
    if let Some(most) = checked.value("muc#roomconfig_maxusers") {
        options.most_occupants = most.parse().unwrap_or(0);
    }
    if let Some(history) = checked.value("muc#maxhistoryfetch") {
        options.history = history.parse().unwrap_or(options.history);
    }
    if let Some(seconds) = checked.value("muc#roomconfig_slow_mode_duration") {
        options.slow_mode = seconds.parse().unwrap_or(options.slow_mode);
    }
    for (var, roles) in [
        ("muc#roomconfig_presencebroadcast", &mut options.broadcast),
        ("muc#roomconfig_getmemberlist", &mut options.member_list),
    ] {
        if let Some(field) = checked.field(var) {
            let has = |name: &str| field.values.iter().any(|value| value == name);
            *roles = Roles {
                moderator: has("moderator"),
                participant: has("participant"),
                visitor: has("visitor"),
            };
        }
    }
    password(checked, options)
}

fn texts(checked: &Form, options: &mut Options, most: usize) -> Result<(), StanzaError> {
    for (var, place) in [
        ("muc#roomconfig_roomname", &mut options.name),
        ("muc#roomconfig_roomdesc", &mut options.description),
        ("muc#roomconfig_lang", &mut options.lang),
        ("muc#roomconfig_pubsub", &mut options.pubsub),
        (SPACE, &mut options.space),
    ] {
        let Some(field) = checked.field(var) else {
            continue;
        };
        let value = field.value().unwrap_or_default();
        if value.len() > most {
            return Err(unfit(format!("{var} has at most {most} bytes")));
        }
        if var == SPACE && !value.is_empty() && uri::read_node(value).is_none() {
            let text = "A space is the node of a service: xmpp:SERVICE?;node=NODE";
            return Err(unfit(text.to_owned()));
        }
        value.clone_into(place);
    }
    Ok(())
}

/// §10.1.3: a password that is wanted must be there.
fn password(checked: &Form, options: &mut Options) -> Result<(), StanzaError> {
    let secret = checked.field("muc#roomconfig_roomsecret");
    let secret = match secret {
        Some(field) => field
            .value()
            .filter(|value| !value.is_empty())
            .map(str::to_owned),
        None => options.password.clone(),
    };
    let wanted = checked.boolean("muc#roomconfig_passwordprotectedroom");
    options.password = match (wanted.unwrap_or(options.password.is_some()), secret) {
        (true, Some(secret)) if secret.len() <= 1023 => Some(secret),
        (true, Some(_)) => return Err(unfit("The password is too long".to_owned())),
        (true, None) => return Err(unfit("There is no password".to_owned())),
        (false, _) => None,
    };
    Ok(())
}

fn unfit(text: String) -> StanzaError {
    StanzaError::from(Condition::NotAcceptable).with_text(text)
}
