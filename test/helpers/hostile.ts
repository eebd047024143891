/** Every byte there is but the line feed, a link and a clipboard of a terminal (OSC 8 and 52), and bidirectional controls. */
export const BYTES = Buffer.concat([
  Buffer.from([...Array(256).keys()].filter((byte) => byte !== 10)),
  Buffer.from(
    '\u001b]8;;https://evil.example\u0007click\u001b]8;;\u0007\u001b]52;c;ZXZpbA==\u0007\u009b31m\u202egpj\u2066\u2028',
  ),
]);

/** Markup, and what ends a string, an attribute, a comment or an element: where it is taken for code, it sets `ran`. */
export const MARKUP = [
  '</script><script>ran=1;alert(1)</script>',
  '<!--<script>ran=1</script>',
  '<img src=x onerror="ran=1;alert(1)">',
  `"'><svg onload=ran=1>`,
  '</style></title></textarea><iframe srcdoc="<script>parent.ran=1</script>">',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a template would run it
  '`${ran=1}`;";ran=1;//\';ran=1//',
  '<a href="javascript:ran=1">{{ran=1}}</a> &lt;b&gt; $& $1',
];
