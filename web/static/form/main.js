// The form for a new picture: each module does one thing for it; without them it works, too.
import "./pictures.js";
import "./clip.js";
import "./dropping.js";
import "./balance.js";
import "./sliders.js";
import "./size.js";
import "./blend.js";
import "./brush.js";
import "./arrows.js";
import "./looks.js";
import "./explore.js";
import "./estimate.js";
import "./sending.js";
import "./draft.js"; // brings back what was typed, of which the others hear
