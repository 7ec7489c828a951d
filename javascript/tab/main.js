/** The whole tab: every panel by its step, and the line below the webui's own Generate buttons. */

import { panel as captions } from './captions/captions.js';
import { editPanel, newPanel } from './character/character.js';
import { panel as invent } from './character/invent.js';
import { panel as doctor } from './doctor/doctor.js';
import { begin } from './page/boot.js';
import { watch } from './page/waits.js';
import { panel as library } from './library/library.js';
import { panel as photos } from './photos/photos.js';
import { panel as produce } from './produce/produce.js';
import { panel as test } from './test/test.js';
import { panel as train } from './train/train.js';
import { panel as use } from './use/use.js';

begin({ photos, captions, train, test, use, produce, library, doctor, invent, new: newPanel, edit: editPanel });
watch();
