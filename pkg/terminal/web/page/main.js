// SPDX-License-Identifier: Apache-2.0
//
// The terminal page. Each module is one part of it; those that come with
// something in the menu put it there themselves.
import "./page.css";
import "./theme.js"; // before the first paint
import { connect } from "./connection.js";
import { term } from "./terminal.js";
import "./clipboard.js";
import "./help.js";
import "./idle.js";
import "./links.js";
import "./search.js";
import "./notes.js";
import "./apps.js";
import "./session.js";
import "./tabs.js";
import "./files.js";
import "./watchers.js";
import "./messages.js";
import "./touch.js";
import "./view.js";

term.focus();
connect();
