import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['node_modules/', 'build/', 'dist/', '.venv/', '.sameface/', 'tests/hosts/', 'docs/'] },
  js.configs.recommended,
  {
    rules: {
      'no-unused-vars': ['error', { args: 'none', caughtErrors: 'none' }],
      'no-var': 'error',
      'prefer-const': 'error',
      eqeqeq: 'error',
      'no-implicit-globals': 'error',
      'no-restricted-globals': ['error', 'event', 'name', 'status', 'open', 'find'],
    },
  },
  { files: ['javascript/**/*.js'], languageOptions: { globals: globals.browser } },
  { files: ['javascript/sameface.js'], languageOptions: { sourceType: 'script' } },
  { files: ['tests/javascript/**/*.js', 'eslint.config.js'], languageOptions: { globals: globals.node } },
];
